"""A few hundred broken and hostile inputs; `tests/benchmarks/mutations.py` tries ten thousand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fuzz.checks import CONTROL, fuzz
from support.fuzz.kinds import KINDS, fuzz_in_training

from codex_tui.base.text import clean
from training.contract import chat_messages, checkpoints, inspect_messages, judge_messages, messages
from training.contract.event_writer import EventWriter
from training.contract.run_directory import RunDirectory
from training.history import tailer

COUNTS = {"screens": 1, "worker_requests": 12, "worker_answers": 12, "arguments": 12, "profile": 16}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=8,
)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_broken_input_gets_a_clear_message_and_changes_nothing(kind: str, tmp_path: Path) -> None:
    assert fuzz(kind, KINDS[kind], COUNTS.get(kind, 24), 7, tmp_path).failures == []


def test_a_broken_parquet_file_gets_a_clear_message(trainer_python: Path, tmp_path: Path) -> None:
    assert fuzz_in_training("parquet", 40, 7, tmp_path).failures == []


def test_a_seed_makes_the_same_input_again(tmp_path: Path) -> None:
    first, second = (fuzz("events", KINDS["events"], 5, 3, tmp_path / each) for each in "ab")
    assert first.codes == second.codes


@given(st.binary() | st.builds(lambda value: json.dumps(value).encode(), JSON))
def test_no_bytes_break_a_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Every small file of a run, filled with anything."""
    run = RunDirectory(tmp_path_factory.getbasetemp() / "any")
    checkpoint = run.checkpoints / "checkpoint-3"
    checkpoint.mkdir(parents=True, exist_ok=True)
    for path in (run.process, run.exit, run.control, run.events, run.config, checkpoint / "trainer_state.json"):
        path.write_bytes(data)
    assert run.read_process() is None
    assert run.read_exit() is None
    assert run.read_stop_request() in (None, "save", "terminate")
    assert not checkpoints.is_whole(checkpoint)
    assert tailer.decode(data + b"\n").damaged <= data.count(b"\n") + 1
    EventWriter(run.events).close()
    for protocol in (chat_messages.CHAT, inspect_messages.INSPECT, judge_messages.JUDGE):
        try:
            answer = protocol.read_answer(data)
        except messages.NotUnderstood:
            assert data.startswith(b'{"type"')
        else:
            assert answer is None or answer.__struct_config__.tag == json.loads(data)["type"]


@settings(max_examples=300)
@given(st.text())
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    assert not CONTROL.search(clean(text))
    assert clean(clean(text)) == clean(text)


ANSWERS = {
    (protocol, kind.__struct_config__.tag): kind
    for protocol, union in (
        (chat_messages.CHAT, chat_messages.ChatAnswer),
        (inspect_messages.INSPECT, inspect_messages.InspectAnswer),
        (judge_messages.JUDGE, judge_messages.JudgeAnswer),
    )
    for kind in get_args(union)
}


@given(st.sampled_from(list(ANSWERS)), st.data())
def test_a_message_is_read_as_it_is_or_refused(
    answer: tuple[messages.WorkerProtocol[Any, Any], str], data: st.DataObject
) -> None:
    protocol, tag = answer
    kind = ANSWERS[answer]
    usual = {"id": 1, "rows": 1, "index": 1, "line": 1, "max_seq_length": 1, "done": 1, "total": 1, "tokens": 1,
             "seconds": 0.5, "what": "scanning", "reason": "eos", "kind": "unknown", "message": "", "text": "",
             "detail": "", "device": "", "has_adapter": True, "scan": None, "lengths": None}  # fmt: skip
    whole = {name: usual[name] for name in kind.__struct_fields__ if name in usual}
    fields = whole | data.draw(st.fixed_dictionaries({}, optional=dict.fromkeys(kind.__struct_fields__, JSON)))
    line = json.dumps({"type": tag, **fields}).encode()
    try:
        message = protocol.read_answer(line)
    except messages.NotUnderstood:
        return
    assert type(message) is kind
    read = json.loads(json.dumps(msgspec.to_builtins(message)))
    sent = json.loads(line)
    if "seconds" in sent:
        sent["seconds"] = float(sent["seconds"])
    assert {name: read[name] for name in sent} == sent
