"""A full disk at every kind of write: the sentence says so, and what was whole stays whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.config_file import write_config
from support.disks import fill, mounted
from support.fake_interpreter import idle_interpreter, name_in_settings, refusing_interpreter

from codex_tui.base import locations
from codex_tui.base.errors import CodexError
from codex_tui.cli import main
from codex_tui.environment import build
from codex_tui.profiles.draft import Draft
from codex_tui.profiles.resolve import load_profile
from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.files import write_atomically
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.history import tailer

ROWS = '{"instruction": "Who?", "response": "Rook."}\n' * 3


def full(place: Path) -> str:
    """What a command says, and no more."""
    return f"codex-tui: {place}: No space left on device.\nFree some space there, then try it again.\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=1m") as folder:
        yield folder


def test_a_small_file_stays_as_it_was(disk: Path) -> None:
    path = disk / "config.json"
    write_atomically(path, '{"old": true}')
    fill(disk)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "x" * 10_000)
    assert json.loads(path.read_text()) == {"old": True}
    assert {each.name for each in disk.iterdir()} == {"config.json", "filler"}


def test_events_go_on_when_there_is_room_again(disk: Path) -> None:
    run = RunDirectory(disk / "run")
    run.create()
    writer = EventWriter(run.events)
    writer.emit(ev.Warned(message="first"))
    filler = fill(disk)
    with pytest.raises(OSError, match="No space left"):
        for _ in range(100):
            writer.emit(ev.Warned(message="x" * 1000))
    filler.unlink()
    writer.emit(ev.Warned(message="last"))
    writer.close()
    read = tailer.decode(run.events.read_bytes())
    messages = [event.message for event in read.events if isinstance(event, ev.Warned)]
    assert (messages[0], messages[-1]) == ("first", "last")
    assert read.damaged <= 1


def test_a_run_is_not_begun_half(
    disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(disk / "home"))
    rows = disk / "rows.jsonl"
    rows.write_text(ROWS)
    python = refusing_interpreter(disk.parent)
    fill(disk)
    assert main(["train", "demo", "--dataset", str(rows), "--python", str(python), "--headless"]) == 1
    assert capsys.readouterr().err.endswith(
        f"The run starts anyway.\n{full(disk / 'home/data/runs/demo-1/profile.toml')}"
    )
    assert list((disk / "home/data/runs").iterdir()) == []
    assert main(["data", "check", str(rows)]) == 0  # what it would keep for the next time is not needed
    assert main(["runs"]) == 0


def test_an_edited_profile_is_not_lost(disk: Path) -> None:
    path = disk / "mine.toml"
    text = '[model]\nname = "demo:llama"\n' + "# a remark\n" * 400
    path.write_text(text)
    document = Draft.open(path)
    fill(disk)
    document.set("training.learning_rate", "1e-4")
    with pytest.raises((CodexError, OSError), match="No space left"):
        document.save()
    assert path.read_text() == text
    assert "1e-4" in document.text


def a_run(home: Path) -> RunDirectory:
    run = RunDirectory(home / "data" / "runs" / "kept")
    run.create()
    profile = load_profile(locations.shipped_profiles() / "demo.toml").model_dump(mode="json")
    write_config(run, {"name": "kept", "profile": profile, "dataset": "demo:zombie-waves"})
    run.log.touch()
    return run


def test_a_run_is_neither_gone_on_with_nor_stopped_half(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(disk))
    name_in_settings(idle_interpreter(tmp_path, 60))
    run = a_run(disk)
    build.make_trainer_path()
    filler = fill(disk)
    assert main(["resume", "kept", "--headless"]) == 1
    assert capsys.readouterr().err == full(run.keeper)
    filler.unlink()
    run.write_process(ProcessIdentity.current())
    fill(disk)
    assert main(["stop", "kept"]) == 1
    assert capsys.readouterr().err == full(run.control)
    assert run.read_stop_request() is None
    assert {path.name for path in run.path.iterdir()} == {"config.json", "trainer.log", "process.json"}


def test_a_trainer_that_has_no_place_is_not_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Full of files, of which the smallest needs one as well."""
    with mounted(tmp_path / "small", "size=1m,nr_inodes=20") as disk:
        monkeypatch.setenv("CODEX_TUI_HOME", str(disk))
        python = refusing_interpreter(tmp_path)
        run = a_run(disk)
        with pytest.raises(OSError, match="No space left"):
            for number in range(20):
                (disk / str(number)).touch()
        for command in (["resume", "kept", "--headless"], ["chat", "kept", "--base", "--prompt", "Who?"]):
            assert main([*command, "--python", str(python)]) == 1
            told = capsys.readouterr().err
            places = (f"{disk}/cache/trainer-path/", f"{disk}/data/runs/.queue: ")  # a resume needs a ticket first
            assert told.startswith(tuple(f"codex-tui: {place}" for place in places)), told
            assert told.endswith(": No space left on device.\nFree some space there, then try it again.\n")
        assert main(["setup"]) == 3
        told = capsys.readouterr().err
        assert f"built at {disk}/data/envs/codex-train: No space left on device\n" in told
        assert run.read_process() is None
