"""Inputs that fuzzing found to break something once: each is now refused or skipped, with a clear message."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from support.fake_checkpoint import write_checkpoint
from support.fake_runs import append_events
from support.fuzz.runs import make_run
from support.fuzz.workers import CHAT_ANSWERS, SILENCE_LIMIT, FakeProcess, find_no_interpreter
from support.history_file import join_chunk, split_chunks

from codex_tui.base import locations
from codex_tui.base.toml_text import CannotEdit
from codex_tui.cli import main
from codex_tui.environment.build import read_stamp
from codex_tui.profiles.draft import Draft
from codex_tui.workers.chat import Conversation
from codex_tui.workers.process import Worker
from training.contract import checkpoints
from training.contract import events as ev
from training.contract.chat_messages import CHAT, ChatAnswer, ChatRequest, Token
from training.contract.event_writer import EventWriter
from training.contract.messages import Message, encode
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.history.columns import read_history
from training.history.recorder import Recorder
from training.memory import probes

DEEP = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"pid":1,"create_time":1.0,"seq":4}'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    return tmp_path


def test_small_files_that_nest_too_deeply_are_damaged_ones(home: Path) -> None:
    run = RunDirectory(home / "run")
    run.create()
    for path in (run.process, run.exit, run.events):
        path.write_bytes(DEEP)
    assert run.read_process() is None
    assert run.read_exit() is None
    probe = probes._path(home, "Card", Profile.model_validate({"model": {"name": "x"}}))
    probe.parent.mkdir(parents=True)
    probe.write_bytes(DEEP)
    assert probes.latest(home, "Card") is None
    stamp = locations.managed_environment() / "codex-train.json"
    stamp.parent.mkdir(parents=True)
    stamp.write_bytes(DEEP)
    assert read_stamp() == {}
    append_events(run, ev.Warned(message="x" * 20_000))
    recorder = Recorder(run.path)
    recorder.poll(at_end=True)
    recorder.close()
    [chunk] = split_chunks(run.history.read_bytes())
    run.history.write_bytes(join_chunk(chunk, b"\x82\xa1x" + b"\x91" * 100_000 + b"\x00\xa1y\x00"))
    assert read_history(run.history, run.events) is None


@pytest.mark.parametrize("line", [DEEP, b'{"seq": 1e400}', b'{"seq": 1' + b"0" * 400 + b"}", b'{"seq": -7}'])
def test_the_trainer_numbers_on_from_the_last_line_that_can_be_read(home: Path, line: bytes) -> None:
    (home / "events.jsonl").write_bytes(b'{"seq": 8}\n' + line + b"\n")
    writer = EventWriter(home / "events.jsonl")
    writer.emit(ev.Heartbeat())
    writer.close()
    assert msgspec.json.decode((home / "events.jsonl").read_bytes().splitlines()[-1])["seq"] == 9


def test_a_stop_request_of_any_bytes_is_one(home: Path) -> None:
    run = RunDirectory(home)
    run.control.write_bytes(b"\xff\xfe")
    assert run.read_stop_request() == "save"


def test_no_json_has_a_character_that_a_terminal_obeys(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile = home / "a.toml"
    profile.write_text('title = "\x9b\u202e"\n[model]\nname = "x"\n"\u009b\u202eb" = 1\n', encoding="utf-8")
    assert main(["profile", "check", str(profile), "--json"]) == 2
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out)["errors"][-1]["field"] == "model.\x9b\u202eb"


def test_what_is_typed_wrongly_is_not_obeyed_either(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["runs", "\x1b]0;OWNED\x07"], ["attach", "a", "\udc80\x9b2J"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
        said = capsys.readouterr().err
        assert "unrecognized arguments" in said or "there is no command" in said
        assert said.replace("\n", "").isprintable()


def test_a_header_that_is_not_utf8_is_said(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = home / "rows.csv"
    rows.write_bytes(b"instruction,response,\xff\na,b,c\nd,e,f\n")
    assert main(["data", "check", str(rows)]) == 2
    assert f"{rows}: its header (line 1) is not UTF-8 text." in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[lora]\nr =", "a = [", "[", "x = {a = 1", '"'])
def test_the_editor_leaves_what_is_no_toml_alone(home: Path, text: str) -> None:
    file = home / "a.toml"
    file.write_text(text)
    with pytest.raises(CannotEdit, match="only a text editor"):
        Draft.open(file).set("lora.r", "16")


def test_a_path_that_is_too_long_is_bad_input(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long = f"{'x' * 300}/{'y' * 70_000}"
    (home / "config").mkdir()
    (home / "config" / "settings.toml").write_text(f'[trainer]\npython = "/{long}"\n')
    profile = home / "a.toml"
    profile.write_text(f'[model]\nname = "./{long}"\n')
    for command in (["train", str(profile), "--dataset", "demo:zombie-waves", "--headless"], ["setup", "--json"]):
        assert main(command) == 2
        said = capsys.readouterr().err
        assert said.endswith("File name too long.\n")
        assert len(said) < 5000


@pytest.mark.parametrize(
    "state",
    [
        b'{"global_step": 20, "log_history": 3}',
        b'{"global_step": 20, "log_history": [{"eval_loss": 1.0}]}',
        b'{"global_step": 20, "log_history": [{"step": 9, "eval_loss": "low"}]}',
        b'{"global_step": 20.0, "log_history": []}',
        b'{"global_step": 20, "log_history": [], "stateful_callbacks": 1}',
        b'{"global_step": 20, "log_history": [], "epoch": "\xff"}',
    ],
)
def test_a_checkpoint_whose_state_would_trip_a_resume_is_passed_over(home: Path, state: bytes) -> None:
    checkpoint = write_checkpoint(home, 20)
    assert checkpoints.is_whole(checkpoint)
    (checkpoint / "trainer_state.json").write_bytes(state)
    assert not checkpoints.is_whole(checkpoint)


@pytest.mark.parametrize("said", [CHAT_ANSWERS[:4], [*CHAT_ANSWERS[:2], Token(id=1, text=7)]])  # type: ignore[arg-type]
async def test_an_answer_that_is_broken_off_can_be_asked_for_again(
    home: Path, monkeypatch: pytest.MonkeyPatch, said: list[Message]
) -> None:
    async def start(*_: object) -> Worker[ChatRequest, ChatAnswer]:
        return Worker(FakeProcess(b"".join(map(encode, said)), 0), CHAT, SILENCE_LIMIT)  # type: ignore[arg-type]

    monkeypatch.setattr(Worker, "start", start)
    monkeypatch.setattr("codex_tui.environment.build.find_python", find_no_interpreter)
    talk = Conversation(make_run(home), lambda: None)
    await talk.ask("Hi")
    await talk._reading  # type: ignore[misc]
    assert talk.error and talk.error.message.startswith("The worker ")
    assert (talk.busy, talk.status) == (False, "failed")


def test_a_scan_that_names_rows_it_has_not_is_a_damaged_one(home: Path) -> None:
    from array import array

    from training.dataset import scan

    place = home / "a.scan"
    scan.save(place, scan.Scan(bytearray([0, scan.EXACT]), array("I", [0, 700])))
    assert scan.load(place, Profile.model_validate({"model": {"name": "x"}}), rows=2) is None
