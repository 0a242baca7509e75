"""The list of runs, newest first, opens what is picked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from codex_tui.app import CodexApp
from codex_tui.screens.cockpit import CockpitScreen
from tests.app.conftest import NOW
from tests.support.pilot import screen_text, settled, until
from training.contract import events as ev


async def test_the_picked_run_opens(home: Path, make_run: Any) -> None:
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


async def test_without_runs_it_says_what_to_do(home: Path) -> None:
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "No runs yet. p shows the profiles" in screen_text(pilot.app))


async def test_the_list_follows_a_run_that_trains(home: Path, make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tui.screens.runs.REFRESH", 0.05)
    run = make_run(end="training", steps=80)
    async with CodexApp().run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "● training" in screen_text(pilot.app))
        with run.events.open("ab") as file:
            file.write(msgspec.json.encode(ev.Done(step=200, seq=10_000, time=NOW)) + b"\n")
        await until(pilot, lambda: "✓ done" in screen_text(pilot.app))
