"""Tests that a run is renamed, annotated and deleted, never while it trains and never beyond its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fake_runs import make_run

from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from codex_tui.runs import library
from codex_tui.runs.changes import delete_run, rename_run, write_note
from codex_tui.runs.facts import MAX_NOTE, read_note
from codex_tui.runs.follower import snapshot
from codex_tui.runs.summary import measure_folder, summarise
from training.contract import events as ev
from training.contract.config import RunConfig
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")


def make_ended(name: str) -> RunDirectory:
    return make_run(name, ev.Started(attempt=1, pid=1), ev.Metrics(step=9, loss=0.5), ev.Done(step=9))


def test_a_renamed_run_is_the_same_run() -> None:
    before = summarise(make_ended("old"))
    run = rename_run(library.find_exact_run("old"), "new")
    assert library.list_names() == ["new"]
    after = summarise(run)
    assert (after.name, after.step, after.loss, after.status) == ("new", before.step, before.loss, before.status)


@pytest.mark.parametrize("name", ["", "last", "a/b", "../out", "-x", ".hidden", "a" * 65, "taken", "file", "link"])
def test_a_name_that_is_not_possible_changes_nothing(name: str) -> None:
    run = make_ended("old")
    make_ended("taken")
    (locations.runs_home() / "file").write_text("")
    (locations.runs_home() / "link").symlink_to("/nowhere")
    with pytest.raises(BadInput):
        rename_run(run, name)
    assert sorted(library.list_names()) == ["old", "taken"]


@pytest.mark.parametrize("starting", [False, True], ids=["training", "starting"])
def test_a_live_run_keeps_its_name_and_its_files(starting: bool) -> None:
    run = make_run("live", ev.Started(attempt=1, pid=1), alive=True)
    if starting:  # launched a moment ago: no trainer has written anything
        run.process.unlink()
        run.events.unlink()
        config = RunConfig.read(run.config)
        config.created = None
        config.write(run.config)
    for change in (lambda: rename_run(run, "new"), lambda: delete_run(run)):
        with pytest.raises(BadInput, match="live is training"):
            change()
    assert library.list_names() == ["live"]
    assert snapshot(run).status == "preparing"
    write_note(run, "a note may come at any time")
    assert read_note(run) == "a note may come at any time"


def test_a_deleted_run_frees_what_it_says() -> None:
    run = make_ended("a")
    other = make_ended("b")
    (run.checkpoints / "checkpoint-9").mkdir(parents=True)
    (run.checkpoints / "checkpoint-9" / "optimizer.pt").write_bytes(bytes(123_456))
    size = measure_folder(run.path)
    assert size > 123_456
    assert delete_run(run) == size
    assert not run.path.exists()
    assert library.list_names() == [other.name]
    with pytest.raises(BadInput, match="is gone"):
        delete_run(run)


def test_deleting_follows_no_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "checkpoint-9").mkdir(parents=True)
    (outside / "checkpoint-9" / "precious").write_text("weights")
    run = make_ended("a")
    run.checkpoints.symlink_to(outside)
    (run.path / "precious").symlink_to(outside / "checkpoint-9" / "precious")
    delete_run(run)
    assert not run.path.exists()
    assert (outside / "checkpoint-9" / "precious").read_text() == "weights"


def test_a_run_that_is_a_link_is_not_changed(tmp_path: Path) -> None:
    run = make_ended("a")
    moved = run.path.rename(tmp_path / "elsewhere")
    run.path.symlink_to(moved)
    for change in (lambda: delete_run(run), lambda: rename_run(run, "b")):
        with pytest.raises(BadInput, match="is a link"):
            change()
    assert (moved / "config.json").exists()


def test_a_note_is_one_clean_short_line() -> None:
    run = make_ended("a")
    assert read_note(run) == ""
    assert write_note(run, "  best\n so far \x1b[2J ") == "best so far ␛[2J"
    assert summarise(run).note == "best so far ␛[2J"
    with pytest.raises(BadInput, match="at most 500"):
        write_note(run, "x" * (MAX_NOTE + 1))
    assert read_note(run) == "best so far ␛[2J"
    assert write_note(run, " ") == ""
    assert not run.note.exists()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x1b]0;owned\x07", b"x" * 10_000_000, b"\n" * 5000])
def test_a_note_from_outside_is_bounded_and_clean(content: bytes) -> None:
    run = make_ended("a")
    run.note.write_bytes(content)
    note = read_note(run)
    assert len(note) <= MAX_NOTE
    assert "\x1b" not in note
    run.note.unlink()
    run.note.mkdir()
    assert read_note(run) == ""
