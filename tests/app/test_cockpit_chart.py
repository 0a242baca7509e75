"""The keys of the chart in the cockpit: its axes, its other curves and its cursor."""

from __future__ import annotations

from typing import Any

import pytest
from support.pilot import screen_text, settled, until
from support.screens import find_shown_panes

from codex_tui.base import bandwidth
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.panes import PANES

WIDE, NARROW = (120, 36), (80, 24)


async def test_the_keys_of_the_chart_change_its_axes(make_run: Any) -> None:
    async with CodexApp(make_run()).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("g", "x")
        await pilot.pause()
        assert "logarithmic" in screen_text(pilot.app)
        assert " steps " not in screen_text(pilot.app).split("2 GPU")[1].split("3 Samples")[0]


async def test_y_shows_the_other_curves_of_the_run(make_run: Any) -> None:
    async with CodexApp(make_run(end="training", steps=120)).run_test(size=NARROW) as pilot:
        await settled(pilot)
        for text in ("━ learning rate 1.04e-4", "gradient norm 0.7100", "tokens/s 1,300", "smoothed"):
            await pilot.press("y")
            await until(pilot, lambda text=text: text in screen_text(pilot.app))
        assert "loss 0." in screen_text(pilot.app)  # this run has no temperature and no memory during its steps


async def test_a_large_terminal_shows_them_all_below_the_losses(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(end="training", steps=120)
    async with CodexApp(run).run_test(size=(200, 60)) as pilot:
        await settled(pilot)
        await until(pilot, lambda: "gradient norm 0.7100" in screen_text(pilot.app))
        assert "learning rate 1.04e-4" in screen_text(pilot.app)
        assert "smoothed" in screen_text(pilot.app)
    monkeypatch.setattr(bandwidth, "pace", bandwidth.LOW)
    async with CodexApp(run).run_test(size=(200, 60)) as pilot:
        await settled(pilot)
        assert "gradient norm" not in screen_text(pilot.app)


async def test_escape_puts_the_cursor_of_the_chart_away_before_it_leaves(make_run: Any) -> None:
    async with CodexApp(make_run()).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("z", "1", "left", "left")
        await until(pilot, lambda: "│ step 199  loss" in screen_text(pilot.app))
        assert "whole chart" in screen_text(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: "│ step 199  loss" not in screen_text(pilot.app))
        assert find_shown_panes(pilot.app) == ["chart"]
        await pilot.press("escape")
        await until(pilot, lambda: len(find_shown_panes(pilot.app)) == len(PANES))
