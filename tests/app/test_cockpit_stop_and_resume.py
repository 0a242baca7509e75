"""The keys that stop and resume a run in the cockpit: what they ask, and what they say if they fail."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from support.fake_checkpoint import write_checkpoint
from support.pilot import screen_text, settled, until

from codex_tui import launcher, stopping
from codex_tui.base.errors import BadInput
from codex_tui.engines import local
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.kit.dialogs import Confirm, Notice
from training.contract.run_directory import RunDirectory

WIDE = (120, 36)


async def test_stop_asks_before_each_request(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run: RunDirectory = make_run(end="training", steps=50)
    requests: list[str] = []

    def stop(target: RunDirectory) -> str:
        requests.append(target.name)
        level = "save" if target.read_stop_request() is None else "terminate"
        target.request_stop(level)
        return level

    monkeypatch.setattr(stopping, "stop", stop)
    async with CodexApp(run).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        assert "Stop and save?" in screen_text(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))
        assert requests == []
        for question in ("Stop and save?", "End the run now?"):
            await pilot.press("s")
            await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
            assert question in screen_text(pilot.app)
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))
        await until(pilot, lambda: len(requests) == 2)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        assert "Kill the run?" in screen_text(pilot.app)
        assert "checkpoint at step 40" in screen_text(pilot.app)


async def test_resume_is_refused_with_the_reason(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: RunDirectory, **_: bool) -> None:
        raise BadInput("There is no whole checkpoint.", "Start it again.")

    monkeypatch.setattr(launcher, "resume", refuse)
    async with CodexApp(make_run(end="failed", steps=60)).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))
        assert "There is no whole checkpoint." in screen_text(pilot.app)


async def test_a_resume_shows_the_step_it_resumes_from(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run: RunDirectory = make_run(end="failed", steps=60)  # with a checkpoint of step 40
    (write_checkpoint(run.checkpoints, 60) / "optimizer.pt").write_bytes(b"")
    started: list[RunDirectory] = []
    monkeypatch.setattr(local.LocalEngine, "start", lambda self, run, start: started.append(run))
    monkeypatch.setattr("codex_tui.environment.build.find_python", lambda: Path(sys.executable))
    async with CodexApp(run).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("r")
        await until(pilot, lambda: list(pilot.app._notifications))
        [notification] = pilot.app._notifications
        assert notification.message == "The checkpoint of step 60 is damaged (optimizer.pt). Resuming from step 40."

        (run.checkpoints / "checkpoint-40" / "optimizer.pt").write_bytes(b"")
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        assert "Start over?" in screen_text(pilot.app)
        assert len(started) == 1
        await pilot.press("enter")
        await until(pilot, lambda: len(started) == 2)


async def test_an_unforeseen_error_is_a_notice(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(run: RunDirectory, **_: bool) -> None:
        raise RuntimeError("the disk [/] is on fire")

    monkeypatch.setattr(launcher, "resume", fail)
    async with CodexApp(make_run(end="failed", steps=60)).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))
        assert "the disk [/] is on fire" in screen_text(pilot.app)
