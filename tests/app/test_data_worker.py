"""The data screen shows the rows without waiting for the worker that counts tokens, and also without it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.data_screen import PROFILE, SIZE, app_on, counted, screen_of, see
from support.pilot import screen_text, until

from codex_tui.base.errors import CodexError, EnvironmentMissing
from codex_tui.ui.kit.hints import HintBar
from training.contract.inspect_messages import Cancel


async def test_rows_are_shown_while_tokens_are_counted(dataset: Path, profile: Path, worker: Any) -> None:
    worker.holds_back = True
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await see(pilot, "Counting tokens", "25 %", "t stops", "What comes 0 at the roof?")
        await pilot.press("down")
        await see(pilot, "Row 2 of 40", "▌ Hold dock 1.")
        await pilot.press("c")
        await see(pilot, "Not known yet")
        await pilot.press("a", "4")
        await see(pilot, "The figures appear here")
        await pilot.press("t")
        await until(pilot, lambda: "Counting tokens" not in screen_text(pilot.app))
        assert worker.started[0].sent[-1] == Cancel()
        worker.started[0].go_on()
        await see(pilot, "38 of 40 rows usable")


async def test_a_dead_worker_is_reported_and_the_rows_stay(dataset: Path, profile: Path, worker: Any) -> None:
    worker.holds_back = True
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await see(pilot, "Counting tokens")
        worker.started[0].fail(CodexError("The worker ended by signal SIGKILL.", "\x1b[2J"))
        await see(pilot, "The worker ended by signal SIGKILL.", "␛[2J", "What comes 0 at the roof?")
        await until(pilot, lambda: "Counting tokens" not in screen_text(pilot.app))
        await pilot.press("down")
        await see(pilot, "Row 2 of 40", "What comes 1 at the dock?")


async def test_without_a_training_environment_the_raw_rows_are_browsed(
    dataset: Path, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> Path:
        raise EnvironmentMissing("The training environment is not there yet.", "Build it: codex-tui setup")

    monkeypatch.setattr("codex_tui.environment.build.find_python", missing)
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await see(pilot, "codex-tui setup", "What comes 0 at the roof?", "as in the file")
        await pilot.press("b")
        await see(pilot, "not valid JSON")  # this filter needs no tokens
        await pilot.press("c")
        await see(pilot, "The tokens have not been counted.")
        await pilot.press("4")
        await see(pilot, "38 of 40 rows usable")


async def test_without_a_profile_the_screen_says_why_a_profile_is_needed(dataset: Path) -> None:
    async with app_on(dataset, None).run_test(size=SIZE) as pilot:
        await see(pilot, "codex-tui data view FILE --profile P", "What comes 0 at the roof?")
        assert "[ ]" not in pilot.app.screen.query_one(HintBar).keys
        await pilot.press("4")
        await see(pilot, "The figures depend on a profile", "38 usable")


async def test_with_the_real_worker(home: Path, trainer_python: Path, dataset: Path) -> None:
    (home / "config").mkdir(exist_ok=True)
    (home / "config" / "settings.toml").write_text(f"[trainer]\npython = {json.dumps(str(trainer_python))}\n")
    profile = home / "real.toml"
    profile.write_text(PROFILE)
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: screen_of(pilot).view.overview and screen_of(pilot).view.overview.tokens, 240.0)
        await counted(pilot)
        text = await see(pilot, "<|start_header_id|>", "▌ Hold roof 0.<|eot_id|>", "learned")
        assert "user" in text
        view = screen_of(pilot).view
        assert view.overview.kept == 38
        whole = view.reader.row.tokens
        await pilot.press("equals_sign", *str(whole - 2), "enter")
        await see(pilot, f"cut at {whole - 2}: 2 tokens are lost")
