"""What the cockpit says about an ended run: only what is still on the disk, also after files are deleted."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.fake_runs import append_events
from support.pilot import screen_text, settled, until

from codex_tui.commands import open_app
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.profiles.screen import ProfilesScreen
from training.contract import events as ev
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

WIDE, NARROW = (120, 36), (80, 24)


@pytest.mark.parametrize(("end", "opens"), [("lost", True), ("failed", True), ("stopped", False), ("done", False)])
async def test_the_app_opens_a_run_that_ended_since_the_last_look_and_one_that_was_lost_or_failed(
    make_run: Any, monkeypatch: pytest.MonkeyPatch, end: str, opens: bool
) -> None:
    run, opened = make_run(end=end, steps=80), []
    monkeypatch.setattr(open_app, "open_app", lambda run, **_: opened.append(run and run.name))
    open_app.open_live_run()
    assert opened == [run.name]
    async with CodexApp(run).run_test(size=NARROW) as pilot:
        await settled(pilot)
        await until(pilot, run.announced.exists)
    open_app.open_live_run()
    assert opened[1:] == [run.name if opens else None]


def messages(app: CodexApp) -> str:
    return str([note.message for note in app._notifications])


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_run_that_is_done_says_what_was_reached_and_what_comes_next(
    make_run: Any, home: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setenv("HOME", str(home))
    run: RunDirectory = make_run(end="training", steps=200)
    async with CodexApp(run).run_test(size=size) as pilot:
        await settled(pilot)
        run.adapter.mkdir()
        (run.adapter / "adapter_config.json").write_text("{}")
        run.write_process(ProcessIdentity(999_999, 1.0))
        append_events(run, ev.Eval(step=200, eval_loss=0.9), ev.Done(step=200, adapter_step=160))
        await until(pilot, lambda: "✓ Done in" in screen_text(pilot.app))
        text = " ".join(screen_text(pilot.app).split())
        assert "Eval loss 1.5433 → 0.9000, best 0.4658 at step 200 (worse since)." in text
        assert "Adapter of step 160: ~/data/runs/zombies-1/adapter" in text
        assert "c chat J judge E export Y Python 3 answers i details p train another" in text
        assert "To share it: codex-tui push zombies-1 OWNER/NAME" in text
        await pilot.press("Y")
        await until(pilot, lambda: "The Python lines are copied" in messages(pilot.app))
        lines = pilot.app.clipboard
        assert len(lines.splitlines()) == 6
        assert f'AutoPeftModelForCausalLM.from_pretrained("{run.adapter}"' in lines
        await pilot.press("P")
        await until(pilot, lambda: pilot.app.clipboard == "codex-tui push zombies-1 OWNER/NAME")
        await pilot.press("Y")
        await until(pilot, lambda: pilot.app.clipboard == lines)
        shutil.rmtree(run.adapter)
        await until(pilot, lambda: "E export" not in screen_text(pilot.app))
        assert "codex-tui push" not in screen_text(pilot.app)
        await pilot.press("Y")
        await until(pilot, lambda: "has no adapter" in messages(pilot.app))
        assert pilot.app.clipboard == lines


async def test_p_opens_the_picker_from_a_lost_run(make_run: Any) -> None:
    async with CodexApp(make_run(end="lost", steps=80)).run_test(size=NARROW) as pilot:
        await settled(pilot)
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, CockpitScreen)
        await until(pilot, lambda: "p profiles" in screen_text(pilot.app))
        await pilot.press("p")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen))
        await settled(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))


@pytest.mark.parametrize(
    ("adapter", "checkpoints", "saved"),
    [
        (True, True, "on request. The checkpoint at step 80 and the adapter are saved."),
        (False, True, "on request. The checkpoint at step 80 is saved."),
        (True, False, "on request. The adapter is saved."),
        (False, False, "on request."),
    ],
)
async def test_a_stopped_run_says_what_is_saved(make_run: Any, adapter: bool, checkpoints: bool, saved: str) -> None:
    run: RunDirectory = make_run(end="stopped", steps=80)
    if adapter:
        run.adapter.mkdir()
        (run.adapter / "adapter_config.json").write_text("{}")
    if not checkpoints:
        shutil.rmtree(run.checkpoints)
    async with CodexApp(run).run_test(size=WIDE) as pilot:
        await settled(pilot)
        rows = [row.strip() for row in screen_text(pilot.app).split("\n")]
        assert f"■ Stopped at step 80 {saved}" in rows


@pytest.mark.parametrize("end", ["lost", "failed", "stopped"])
async def test_deleted_files_are_no_longer_offered(make_run: Any, end: str) -> None:
    run: RunDirectory = make_run(end=end, steps=80)
    async with CodexApp(run).run_test(size=NARROW) as pilot:
        await settled(pilot)
        await until(pilot, lambda: "resume from step 80" in screen_text(pilot.app))
        assert "r" in pilot.app.screen.query_one(HintBar).keys
        run.config.unlink()
        await until(pilot, lambda: "config.json is missing" in screen_text(pilot.app))
        assert "the checkpoint at step 80" in " ".join(screen_text(pilot.app).split())
        assert "r" not in pilot.app.screen.query_one(HintBar).keys
        shutil.rmtree(run.path)
        await until(pilot, lambda: "The run's folder is gone." in screen_text(pilot.app))
        text = screen_text(pilot.app)
        assert "resume" not in text
        assert "step 80 is" not in text
        await pilot.press("r")
        assert isinstance(pilot.app.screen, CockpitScreen)
