"""The list of runs: newest first, refreshed when it is outdated, opens and resumes the selected run."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.fake_checkpoint import write_checkpoint
from support.pilot import screen_text, settled, until
from support.screens import NOW

from codex_tui import launcher
from codex_tui.cli import main
from codex_tui.runs.resume_point import ResumePoint
from codex_tui.runs.summary import summarise
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.kit.choices import Choices
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.runs.preview import Preview
from training.contract import events as ev
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory


async def test_enter_opens_the_selected_run(home: Path, make_run: Any) -> None:
    for age, (name, end) in enumerate((("newest", "failed"), ("older", "done")), 1):
        run = make_run(name=name, end=end, steps=80)
        os.utime(run.profile, (NOW - age * 7200, NOW - age * 7200))
    async with CodexApp().run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "newest" in screen_text(pilot.app))
        text = screen_text(pilot.app)
        assert text.index("newest") < text.index("older")
        assert ["run", "state", "step", "best", "eval", "time", "disk", "started", "model"] in [
            row.strip("│ ").split() for row in text.split("\n")
        ]
        for expected in ("✗ failed", "✓ done", "80 / 200", "2 h ago", "4 h ago"):
            assert expected in text
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))
        await settled(pilot)
        assert "older" in screen_text(pilot.app)


async def test_an_empty_list_says_what_to_do(home: Path) -> None:
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "No runs yet. Press p for the profiles" in screen_text(pilot.app))


async def test_the_list_is_refreshed_while_a_run_trains(
    home: Path, make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_tui.ui.runs.screen.REFRESH_SECONDS", 0.5)
    run = make_run(end="training", steps=80)
    async with CodexApp().run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "● training" in screen_text(pilot.app))
        with run.events.open("ab") as file:
            file.write(msgspec.json.encode(ev.Done(step=200, seq=10_000, time=NOW)) + b"\n")
        await until(pilot, lambda: "✓ done" in screen_text(pilot.app))


async def test_the_list_is_refreshed_when_another_program_changes_the_runs(
    home: Path, make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_tui.ui.runs.screen.REFRESH_SECONDS", 0.5)
    make_run(name="old", end="done", steps=80)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: listed(pilot) == ["old"])
        assert main(["runs", "rename", "old", "new"]) == 0
        await until(pilot, lambda: listed(pilot) == ["new"])
        make_run(name="another", end="done", steps=80)
        await until(pilot, lambda: sorted(listed(pilot)) == ["another", "new"])
        assert main(["runs", "rm", "new", "--yes"]) == 0
        await until(pilot, lambda: listed(pilot) == ["another"])


async def test_the_selected_run_shows_why_it_ended_and_can_be_resumed(
    home: Path, make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age, (name, end) in enumerate((("lost", "lost"), ("done", "done"), ("bare", "lost")), 1):
        run = make_run(name=name, end=end, steps=80)
        os.utime(run.profile, (NOW - age * 7200, NOW - age * 7200))
    run.config.unlink()
    resumed: list[str] = []

    def resume(run: RunDirectory, **_: bool) -> ResumePoint:
        resumed.append(run.name)
        run.write_process(ProcessIdentity.current(attempt=2))
        return ResumePoint(80)

    monkeypatch.setattr(launcher, "resume", resume)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "The trainer ended at step 80 without a message" in screen_text(pilot.app))
        assert "Resume continues from step 80." in screen_text(pilot.app)
        await until(pilot, lambda: "3 runs · newest first" in screen_text(pilot.app))
        hints = pilot.app.screen.query_one(HintBar)
        assert "r" in hints.keys
        await pilot.press("down")
        await until(pilot, lambda: "without a message" not in screen_text(pilot.app))
        assert "r" not in hints.keys
        await pilot.press("down")
        await until(pilot, lambda: "config.json is missing" in screen_text(pilot.app))
        assert "at step 80 is still there." in screen_text(pilot.app)
        assert "r" not in hints.keys
        await pilot.press("r", "home", "r")
        await until(pilot, lambda: screen_text(pilot.app).count("? lost") == 1)
        assert resumed == ["lost"]
        assert "r" not in hints.keys


def make_two(make_run: Any) -> tuple[RunDirectory, RunDirectory]:
    """The newest is done and small; the older is lost, and has a large file."""
    small, large = make_run(name="small", end="done", steps=80), make_run(name="large", end="lost", steps=40)
    (large.path / "big").write_bytes(bytes(3_000_000))
    for age, run in enumerate((small, large), 1):
        os.utime(run.profile, (NOW - age * 7200, NOW - age * 7200))
    return small, large


def listed(pilot: Any) -> list[str]:
    return [run.name for run in pilot.app.screen._runs]


async def test_the_list_is_sorted_and_filtered(home: Path, make_run: Any) -> None:
    make_two(make_run)
    async with CodexApp().run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "2 runs · newest first" in screen_text(pilot.app))
        assert listed(pilot) == ["small", "large"]
        await pilot.press("s", "s")
        await until(pilot, lambda: "largest first" in screen_text(pilot.app))
        assert listed(pilot) == ["large", "small"]
        await pilot.press("slash", *"LOST llama")
        await until(pilot, lambda: "1 of 2 runs" in screen_text(pilot.app))
        assert listed(pilot) == ["large"]
        await pilot.press("enter")
        assert isinstance(pilot.app.screen.focused, Choices)
        await pilot.press("escape")
        await until(pilot, lambda: listed(pilot) == ["large", "small"])


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_the_preview_shows_the_selected_run(home: Path, make_run: Any, size: tuple[int, int]) -> None:
    small, _ = make_two(make_run)
    small.note.write_text("the best \x1b[2Jone")
    async with CodexApp().run_test(size=size) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "step 80" in screen_text(pilot.app))
        assert "the best ␛[2Jone" in screen_text(pilot.app)
        await pilot.press("down")
        await until(pilot, lambda: "without a message" in screen_text(pilot.app))
        await until(pilot, lambda: "1 checkpoint" in screen_text(pilot.app))
        assert "3.0 MB" in screen_text(pilot.app) and "…" not in screen_text(pilot.app)


async def test_a_preview_takes_no_row_from_the_list_of_a_low_terminal(home: Path, make_run: Any) -> None:
    names = [f"r-{number}" for number in range(10)]
    for name in names:
        make_run(name=name, end="done", steps=3)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: all(name in screen_text(pilot.app) for name in names))
        assert not pilot.app.screen.query_one(Preview).display


async def test_a_run_is_annotated_renamed_and_deleted(home: Path, make_run: Any) -> None:
    small, large = make_two(make_run)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: bool(getattr(pilot.app.screen, "_runs", None)))
        await pilot.press("n")
        await until(pilot, lambda: "remember" in screen_text(pilot.app))
        await pilot.press(*"keep", "enter")
        await until(pilot, lambda: "keep" in screen_text(pilot.app) and not pilot.app.screen.is_modal)
        assert small.note.read_text() == "keep\n"
        await pilot.press("R")
        await until(pilot, lambda: "Its new name" in screen_text(pilot.app))
        await pilot.press("end", *"-2", "enter")
        await until(pilot, lambda: not pilot.app.screen.is_modal and listed(pilot) == ["small-2", "large"])
        await pilot.press("down", "d")
        await until(pilot, lambda: "frees 3.0 MB" in screen_text(pilot.app))
        for key in ("escape", "enter"):  # a deletion can't be undone, so Enter keeps the run
            await pilot.press(key)
            await until(pilot, lambda: not pilot.app.screen.is_modal)
            assert large.path.exists()
            await pilot.press("d")
            await until(pilot, lambda: "frees 3.0 MB" in screen_text(pilot.app))
        await pilot.press("y")
        await until(pilot, lambda: not pilot.app.screen.is_modal and listed(pilot) == ["small-2"])
        assert not large.path.exists()


async def test_checkpoints_are_deleted_by_y_alone(home: Path, make_run: Any) -> None:
    run = make_run(name="a", end="failed", steps=80)
    unneeded = run.checkpoints / "checkpoint-7"
    write_checkpoint(run.checkpoints, 7)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: listed(pilot) == ["a"])
        for key in ("enter", "y"):
            assert unneeded.exists()
            await pilot.press("c")
            await until(pilot, lambda: "Delete these checkpoints?" in screen_text(pilot.app))
            await pilot.press(key)
            await until(pilot, lambda: not pilot.app.screen.is_modal)
        await until(pilot, lambda: not unneeded.exists())


async def test_a_live_run_is_neither_renamed_nor_deleted(home: Path, make_run: Any) -> None:
    run = make_run(end="training", steps=80)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "● training" in screen_text(pilot.app))
        for key in ("R", "d", "c"):
            await pilot.press(key)
            await until(pilot, lambda: "Stop it first" in screen_text(pilot.app))
            await pilot.press("escape")
            await until(pilot, lambda: not pilot.app.screen.is_modal)
        assert run.path.exists()


async def test_a_long_list_is_shown_while_it_is_read(
    home: Path, make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_two(make_run)
    go_on = threading.Event()

    def summarise_second_later(run: RunDirectory) -> Any:
        if run.name == "large":
            go_on.wait(60)
        return summarise(run)

    monkeypatch.setattr("codex_tui.ui.runs.screen.BATCH_SECONDS", 0.0)
    monkeypatch.setattr("codex_tui.runs.summaries.summarise", summarise_second_later)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "2 runs, 1 read · newest first" in screen_text(pilot.app))
        assert listed(pilot) == ["small"]
        go_on.set()
        await until(pilot, lambda: "2 runs · newest first" in screen_text(pilot.app))
        assert listed(pilot) == ["small", "large"]


async def test_a_run_that_is_renamed_while_the_list_is_read_stays_selected(
    home: Path, make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, large = make_two(make_run)
    reading, go_on = threading.Event(), threading.Event()

    def summarise_later(run: RunDirectory) -> Any:
        reading.set()
        go_on.wait(60)
        return summarise(run)

    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "2 runs · newest first" in screen_text(pilot.app))
        monkeypatch.setattr("codex_tui.runs.summaries.summarise", summarise_later)
        await pilot.press("down", "ctrl+r")
        await until(pilot, reading.is_set)
        await pilot.press("R")
        await until(pilot, lambda: "Its new name" in screen_text(pilot.app))
        await pilot.press("end", *"-2", "enter")
        await until(pilot, lambda: not large.path.exists() and not pilot.app.screen.is_modal)
        await settled(pilot)
        go_on.set()
        await until(pilot, lambda: listed(pilot) == ["small", "large-2"])
        await until(pilot, lambda: pilot.app.screen._picked_run.name == "large-2")
