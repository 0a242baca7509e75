"""The list of runs: newest first, refreshed while one trains, opens and resumes the selected run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.pilot import screen_text, settled, until
from support.screens import NOW

from codex_tui import launcher
from codex_tui.runs.resume_point import ResumePoint
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.kit.hints import HintBar
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
        assert ["run", "state", "step", "loss", "eval", "started"] in [
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
    monkeypatch.setattr("codex_tui.ui.runs.screen.REFRESH_SECONDS", 0.05)
    run = make_run(end="training", steps=80)
    async with CodexApp().run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "● training" in screen_text(pilot.app))
        with run.events.open("ab") as file:
            file.write(msgspec.json.encode(ev.Done(step=200, seq=10_000, time=NOW)) + b"\n")
        await until(pilot, lambda: "✓ done" in screen_text(pilot.app))


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
