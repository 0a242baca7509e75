"""The messages of the workers keep their names on the pipe, whatever their classes are called."""

from __future__ import annotations

import json
from typing import Any

import pytest

from training.contract.chat_messages import CHAT, AnswerBegin, AnswerEnd, ChatReady, Generate, StopAnswer, Token
from training.contract.config import RowForm
from training.contract.inspect_messages import (
    INSPECT,
    Cancel,
    Cancelled,
    InspectProgress,
    InspectReady,
    RenderedRow,
    RenderedSequence,
    Segment,
    ShowRow,
    StatsReady,
    Tokenise,
)
from training.contract.messages import Loading, Message, NotUnderstood, WorkerError, encode

HI = {"role": "user", "content": "Hi"}
REQUESTS: list[tuple[Any, Message, dict[str, Any]]] = [
    (CHAT, Generate(id=1, messages=[HI], adapter=False, max_new_tokens=9, temperature=0.5),
     {"type": "generate", "id": 1, "messages": [HI], "adapter": False, "max_new_tokens": 9, "temperature": 0.5,
      "top_p": 1.0, "seed": None}),
    (CHAT, Generate(id=1, messages=[HI], top_p=0.5, seed=7, system_prompt=None),
     {"type": "generate", "id": 1, "messages": [HI], "adapter": True, "max_new_tokens": 256, "temperature": 0.0,
      "top_p": 0.5, "seed": 7, "system_prompt": None}),
    (CHAT, StopAnswer(id=1), {"type": "stop", "id": 1}),
    (INSPECT, ShowRow(index=3, ids=True, max_seq_length=9),
     {"type": "row", "index": 3, "ids": True, "max_seq_length": 9}),
    (INSPECT, Tokenise(), {"type": "tokenise"}),
    (INSPECT, Cancel(), {"type": "cancel"}),
]  # fmt: skip
ROW = {
    "type": "row", "index": 3, "file": "", "line": 4, "raw": {"a": "b"}, "problem": "", "text": "", "shape": "text",
    "sequences": [{"segments": [{"text": "Hi", "learned": True, "cut": False}], "tokens": 2, "spans": [[0, 2]],
                   "learned_tokens": 2}],
    "max_seq_length": 9, "split": "train", "why": "",
}  # fmt: skip
SEQUENCE = RenderedSequence(segments=[Segment("Hi", learned=True)], tokens=2, spans=[(0, 2)], learned_tokens=2)
RENDERED = RenderedRow(
    index=3, line=4, raw={"a": "b"}, shape="text", sequences=[SEQUENCE], max_seq_length=9, split="train",
)  # fmt: skip
WITH_IDS = RenderedRow(
    index=3,
    line=4,
    max_seq_length=9,
    sequences=[RenderedSequence([], tokens=1, spans=[], learned_tokens=0, ids=[(5, "Hi")])],
)
ERROR = WorkerError(id=None, kind="bad_data", message="It broke.", hint="Mend it.")
ERROR_ON_THE_PIPE = {"type": "error", "id": None, "kind": "bad_data", "message": "It broke.", "hint": "Mend it."}
ANSWERS: list[tuple[Any, Message, dict[str, Any]]] = [
    (CHAT, Loading(detail="it", done=1, total=2), {"type": "phase", "detail": "it", "done": 1, "total": 2}),
    (CHAT, ChatReady(device="cpu", has_adapter=True, step=20),
     {"type": "ready", "device": "cpu", "has_adapter": True, "step": 20, "form": {}, "context": None}),
    (CHAT, ChatReady(device="cpu", has_adapter=True, form=RowForm(system_prompt="Be brief."), context=2048),
     {"type": "ready", "device": "cpu", "has_adapter": True, "step": None, "form": {"system_prompt": "Be brief."},
      "context": 2048}),
    (CHAT, AnswerBegin(id=1, tokens=20, left_out=2, step=7),
     {"type": "begin", "id": 1, "tokens": 20, "left_out": 2, "step": 7}),
    (CHAT, Token(id=1, text="Hi"), {"type": "token", "id": 1, "text": "Hi"}),
    (CHAT, AnswerEnd(id=1, reason="eos", tokens=2, seconds=0.5),
     {"type": "end", "id": 1, "reason": "eos", "tokens": 2, "seconds": 0.5}),
    (CHAT, ERROR, ERROR_ON_THE_PIPE),
    (INSPECT, InspectReady(rows=9, kept=8, train_rows=7, eval_rows=1, scan="/s", why="no", hint="do", kind="offline"),
     {"type": "ready", "rows": 9, "kept": 8, "train_rows": 7, "eval_rows": 1, "scan": "/s", "why": "no", "hint": "do",
      "kind": "offline"}),
    (INSPECT, RENDERED, ROW),
    (INSPECT, WITH_IDS, ROW | {"raw": None, "shape": None, "split": "",
                               "sequences": [{"segments": [], "tokens": 1, "spans": [], "learned_tokens": 0,
                                              "ids": [[5, "Hi"]]}]}),
    (INSPECT, InspectProgress(what="scanning", done=1, total=2),
     {"type": "progress", "what": "scanning", "done": 1, "total": 2}),
    (INSPECT, StatsReady(scan="/s", lengths="/l", cached=True),
     {"type": "digest", "scan": "/s", "lengths": "/l", "cached": True, "why": "", "hint": "", "kind": None}),
    (INSPECT, Cancelled(), {"type": "cancelled"}),
    (INSPECT, ERROR, ERROR_ON_THE_PIPE),
]  # fmt: skip


@pytest.mark.parametrize(("protocol", "request_", "on_the_pipe"), REQUESTS)
def test_a_request_on_the_pipe(protocol: Any, request_: Message, on_the_pipe: dict[str, Any]) -> None:
    line = encode(request_)
    assert line.endswith(b"}\n")
    assert json.loads(line) == on_the_pipe
    assert protocol.read_request(json.dumps(on_the_pipe).encode()) == request_


@pytest.mark.parametrize(("protocol", "answer", "on_the_pipe"), ANSWERS)
def test_an_answer_on_the_pipe(protocol: Any, answer: Message, on_the_pipe: dict[str, Any]) -> None:
    assert json.loads(encode(answer)) == on_the_pipe
    assert protocol.read_answer(json.dumps(on_the_pipe).encode()) == answer


@pytest.mark.parametrize("line", [b"", b"loading 3 shards", b"[]", b'{"a": 1}', b'{"type": "ends"}', b"\xff"])
def test_a_line_that_is_no_message_is_passed_over(line: bytes) -> None:
    assert CHAT.read_answer(line) is None


@pytest.mark.parametrize(
    "line",
    [b'{"type": "token", "id": 1}', b'{"type":"token","id":"1","text":""}', b'{"type": "token", "id": 1, "te',
     b'{"type": "end", "id": 1, "reason": "tired", "tokens": 2, "seconds": 0.5}', b'{"type": "token", "text": "\xff"}'],
)  # fmt: skip
def test_a_message_with_wrong_fields_is_not_understood(line: bytes) -> None:
    with pytest.raises(NotUnderstood):
        CHAT.read_answer(line)


@pytest.mark.parametrize(
    "line", [b"no JSON", b"[]", b"{}", b'{"type": "row", "index": "0"}', b'{"type": "row", "index": -1}', b"[" * 9999]
)
def test_a_line_that_is_no_request_is_not_understood(line: bytes) -> None:
    with pytest.raises(NotUnderstood):
        INSPECT.read_request(line)
