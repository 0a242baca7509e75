"""The editor and the launch dialog offer larger passes that are faster and fit. The card is one with 24 GB."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from support import fake_forecast
from support.editing import editing, editor, go_to, type_in, write_mine
from support.fake_inspect import WordWorker
from support.launching import SIZE, enter_folder, launching, see, write_profile
from support.pilot import screen_text, until

from codex_tui.data import speed
from codex_tui.launch_plan import LaunchPlan
from codex_tui.machine.forecast import Card, ResourceForecast
from codex_tui.ui.editor.screen import EditorScreen
from codex_tui.ui.forecast.in_thread import forecast_profile
from codex_tui.ui.forecast.remedies import RemediesScreen
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.launch import check_runner
from training.memory.faster import ACCUMULATION, BATCH
from training.memory.forecast import Machine

CARD = Card("NVIDIA GeForce RTX 4090", 24_564, 24_000, 564)


@pytest.fixture(autouse=True)
def large_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_forecast, "CARD", CARD)
    monkeypatch.setattr(fake_forecast, "MACHINE", Machine(CARD.total_mib, card=CARD.name))


async def test_the_editor_applies_both_fields_and_undoes_them_together(home: Path) -> None:
    write_mine()
    async with editing() as pilot:
        assert "r" not in pilot.app.screen.query_one(HintBar).keys  # rows of 2,048 tokens keep this card busy
        await go_to(pilot, "model.max_seq_length")
        await type_in(pilot, "512")
        await pilot.press("enter")
        await until(pilot, lambda: "r train faster" in screen_text(pilot.app))
        before = editor(pilot).draft.text
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, RemediesScreen))
        await until(pilot, lambda: "Enter apply" in screen_text(pilot.app))
        text = screen_text(pilot.app)
        assert "per_device_train_batch_size = 4, gradient_accumulation_steps = 1" in text
        assert "Larger passes train rows of 512 tokens faster:" in text and "% less time, 0.19 GB more" in text
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        own = editor(pilot).draft.own
        assert (own[BATCH], own[ACCUMULATION]) == (4, 1)
        await until(pilot, lambda: "r train faster" not in screen_text(pilot.app))
        await pilot.press("r")
        await until(pilot, lambda: any("Nothing to change" in note.message for note in pilot.app._notifications))
        await pilot.press("u")
        assert editor(pilot).draft.text == before


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_the_launch_dialog_uses_larger_passes_for_this_run(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    worker: type[WordWorker],
    plans: list[LaunchPlan],
    size: tuple[int, int],
) -> None:
    mine = write_profile(enter_folder(home, monkeypatch))
    before = mine.read_text()
    monkeypatch.setattr(speed, "find_last_speed_on", lambda card, profile, path: 250.0)
    async with launching(size) as pilot:
        await see(pilot, "batch 4 x 1 instead of 1 x 4: ", "% less time, +0.10 GB; fits", "ctrl+r faster")
        await see(pilot, "at the last run's 250 tokens/s")
        await pilot.press("ctrl+r")
        await see(pilot, "batch 4 x 1 for this run", "ctrl+r undo faster", "ctrl+l use 192")
        await see(pilot, "estimated for this card")
        await pilot.press("ctrl+l")
        await see(pilot, "none is cut at 192 tokens for this run", "batch 4 x 1 for this run", "ctrl+l use 128")
        training = pilot.app.screen.checks.forecast.profile.training
        assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == (4, 1)
        await pilot.press("ctrl+r")  # two longer rows are as long as all four of a step
        await see(pilot, "batch 2 x 2 instead of 1 x 4", "at the last run's 250 tokens/s", "none is cut at 192 tokens")
        await pilot.press("ctrl+r")
        await see(pilot, "batch 2 x 2 for this run")
        await pilot.press("enter")
        await until(pilot, lambda: plans)
    assert dict(plans[0].overrides) == {"model.max_seq_length": 192, BATCH: 2, ACCUMULATION: 2}
    assert mine.read_text() == before


async def test_the_dialog_waits_for_the_lengths_of_the_rows(
    home: Path, monkeypatch: pytest.MonkeyPatch, worker: Any
) -> None:
    """Packed, rows that are much shorter than max_seq_length share one pass already."""
    mine = write_profile(enter_folder(home, monkeypatch))
    mine.write_text(mine.read_text().replace("max_seq_length = 128", "max_seq_length = 512"))
    async with launching(SIZE) as pilot:
        await see(pilot, "none is cut at 512 tokens")
        assert pilot.app.screen.checks.faster is None
        assert "Faster" not in screen_text(pilot.app)


async def test_no_larger_passes_are_offered_from_the_forecast_of_other_values(
    home: Path, monkeypatch: pytest.MonkeyPatch, worker: Any
) -> None:
    """Between two keys, the forecast on the screen may still be that of the run before the first one."""
    write_profile(enter_folder(home, monkeypatch))
    may_answer = threading.Event()
    may_answer.set()

    def forecast_slowly(*args: Any) -> ResourceForecast:
        assert may_answer.wait(60)
        return forecast_profile(*args)

    monkeypatch.setattr(check_runner, "forecast_profile", forecast_slowly)
    async with launching(SIZE) as pilot:
        await see(pilot, "batch 4 x 1 instead of 1 x 4: ", "ctrl+l use 192")
        may_answer.clear()
        await pilot.press("ctrl+l")
        await see(pilot, "none is cut at 192 tokens for this run")
        assert "Faster" not in screen_text(pilot.app)
        await pilot.press("ctrl+r")
        assert pilot.app.screen.checks.used_faster is None
        may_answer.set()
        await see(pilot, "batch 2 x 2 instead of 1 x 4", "ctrl+r faster")
