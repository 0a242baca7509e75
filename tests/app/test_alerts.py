"""The app tells the person what becomes of a run: terminal title, bell, notification, and a command of their own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.fake_runs import append_events
from support.pilot import screen_text, settled, until

from codex_tui.base import locations
from codex_tui.ui.app import CodexApp
from codex_tui.ui.profiles.screen import ProfilesScreen
from codex_tui.ui.runs.screen import RunsScreen
from training.contract import events as ev
from training.contract.run_directory import RunDirectory

SIZE = (120, 36)
APPEND = "import os, sys; open(sys.argv[1], 'a').write(f\"{sys.argv[2]} {os.environ['CODEX_TUI_RUN']}\\n\")"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the app sends to the terminal beside its screens."""
    sequences: list[str] = []
    monkeypatch.setattr(CodexApp, "_write_to_terminal", lambda self, sequence: sequences.append(sequence))
    return sequences


def set_command(*command: str, terminal: bool = True) -> None:
    settings = locations.settings_file()
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(f"[notify]\ncommand = {json.dumps(list(command))}\nterminal = {json.dumps(terminal)}\n")


async def test_the_title_has_state_and_progress(make_run: Any, sent: list[str]) -> None:
    run: RunDirectory = make_run(end="training", steps=100)
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await until(pilot, lambda: sent)
        assert sent == ["\x1b[22;0t\x1b]0;● 50 % zombies-1\a"]
        append_events(run, ev.Metrics(step=101, loss=1.0), ev.Metrics(step=102, loss=1.0))
        await until(pilot, lambda: len(sent) == 2)
        assert sent[1:] == ["\x1b]0;● 51 % zombies-1\a"]


async def test_the_end_rings_once_and_runs_the_command_once(make_run: Any, sent: list[str], tmp_path: Path) -> None:
    written = tmp_path / "written"
    set_command(sys.executable, "-c", APPEND, str(written), "{event}")
    run: RunDirectory = make_run(end="training", steps=200)
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await settled(pilot)
        append_events(run, ev.Done(step=200))
        await until(pilot, lambda: written.exists() and written.read_text())
        append_events(run, ev.Heartbeat())
        await pilot.pause(2.0)
        [rung] = [sequence for sequence in sent if sequence.startswith("\a")]
        assert "zombies-1 is done: Done in" in rung
        assert sent[-2] == "\x1b]0;✓ zombies-1 done\a"
    assert written.read_text() == "done zombies-1\n"


async def test_a_run_that_ended_before_the_app_started_does_not_ring(
    make_run: Any, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codex_tui.runs.announcements.Announcer._is_newer_than_viewer", lambda _: False)
    async with CodexApp(make_run(end="done")).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await until(pilot, lambda: sent)
        assert sent == ["\x1b[22;0t\x1b]0;✓ zombies-1 done\a"]


async def test_the_bell_can_be_turned_off(make_run: Any, sent: list[str]) -> None:
    set_command("/bin/true", terminal=False)
    run: RunDirectory = make_run(end="training", steps=200)
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await settled(pilot)
        append_events(run, ev.Failed(kind="unknown", message="It broke."))
        await until(pilot, lambda: "\x1b]0;✗ zombies-1 failed\a" in sent)
        await pilot.pause()
        assert not [sequence for sequence in sent if sequence.startswith("\a")]


async def test_a_command_that_cant_run_is_a_notice(make_run: Any, sent: list[str]) -> None:
    set_command("/no/such/[program]")
    run: RunDirectory = make_run(end="training", steps=200)
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await settled(pilot)
        append_events(run, ev.Done(step=200))
        await until(pilot, lambda: list(pilot.app._notifications))
        [notification] = pilot.app._notifications
        assert "/no/such/[program] can't be started" in notification.message


async def test_a_run_whose_cockpit_is_closed_is_announced_too(make_run: Any, sent: list[str]) -> None:
    live: RunDirectory = make_run("live", end="training", steps=100)
    make_run("old", end="done")
    app = CodexApp()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert isinstance(app.screen, ProfilesScreen)
        for name in ("live", "old"):
            await pilot.press("o")
            await until(pilot, lambda: isinstance(app.screen, RunsScreen))
            await settled(pilot)
            screen = app.screen
            assert isinstance(screen, RunsScreen)
            from codex_tui.ui.messages import OpenRun

            screen.post_message(OpenRun(RunDirectory(locations.runs_home() / name)))
            await until(pilot, lambda name=name: f"{name}  " in screen_text(app).split("\n")[0])
            await settled(pilot)
        append_events(live, ev.Failed(kind="unknown", message="It broke."))
        await until(pilot, lambda: any("live failed: It broke." in sequence for sequence in sent))


async def test_the_end_of_a_run_is_noted_as_seen(make_run: Any) -> None:
    run: RunDirectory = make_run(end="done")
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await until(pilot, run.announced.exists)
        assert "seen" in run.announced.read_text()
