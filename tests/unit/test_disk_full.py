"""A full disk at every kind of write: the sentence says so, and what was whole stays whole."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import mounted
from support.stand_in import stand_in

from codex_tui.cli import main
from codex_tui.core import tailer
from codex_tui.core.errors import CodexError
from codex_tui.core.profile_document import Draft
from training.contract import events as ev
from training.contract.files import write_atomically
from training.contract.run_directory import RunDirectory

ROWS = '{"instruction": "Who?", "response": "Rook."}\n' * 3


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=1m") as folder:
        yield folder


def fill(disk: Path) -> Path:
    """Takes all the room that is left; what did it, to be deleted."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return filler


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
    writer = ev.EventWriter(run.events)
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
    python = stand_in(disk.parent, "raise SystemExit('it should not have come to this')")
    fill(disk)
    assert main(["train", "demo", "--dataset", str(rows), "--python", str(python), "--headless"]) == 1
    assert "No space left on device" in capsys.readouterr().err
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
