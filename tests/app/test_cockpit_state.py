"""What the cockpit says about the state of a run: its phase, its new events, a silent trainer, and how it ended."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from support.config_file import read_config, write_config
from support.fake_runs import append_events
from support.pilot import screen_text, settled, until

from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.banner import Banner
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.kit.hints import HintBar
from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.run_directory import RunDirectory

WIDE, NARROW = (120, 36), (80, 24)


@pytest.mark.parametrize(
    ("end", "texts"),
    [
        ("failed", ["✗ The GPU ran out of memory at step 121.", "Set max_seq_length = 1024", "resume from step 120"]),
        ("lost", ["? The trainer ended at step 120 without a message", "checkpoint at step 120 is safe"]),
        ("stopped", ["■ Stopped at step 120", "resume from step 120"]),
    ],
)
async def test_the_banner_explains_a_failed_lost_or_stopped_run(make_run: Any, end: str, texts: list[str]) -> None:
    async with CodexApp(make_run(end=end, steps=120)).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await until(pilot, lambda: pilot.app.screen.query_one(Banner).display)
        text = screen_text(pilot.app)
        for expected in texts:
            assert expected in text


@pytest.mark.parametrize("size", [WIDE, (80, 24)])
async def test_a_silent_trainer_is_not_shown_as_lost(make_run: Any, size: tuple[int, int]) -> None:
    run: RunDirectory = make_run(end="training", steps=50)
    for path in (run.events, run.process):
        os.utime(path, (time.time() - 125, time.time() - 125))
    async with CodexApp(run).run_test(size=size) as pilot:
        await settled(pilot)
        await until(pilot, lambda: "silent for 2 min, process is alive" in screen_text(pilot.app))
        assert "● training" in screen_text(pilot.app)
        append_events(run, ev.Heartbeat())
        await until(pilot, lambda: "silent" not in screen_text(pilot.app))


async def test_new_events_and_log_lines_appear(make_run: Any) -> None:
    run: RunDirectory = make_run(end="training", steps=50)
    async with CodexApp(run).run_test(size=WIDE) as pilot:
        await settled(pilot)
        writer = EventWriter(run.events)
        writer.emit(ev.Metrics(step=51, loss=0.1234, tokens=70_000))
        with run.log.open("a") as log:
            log.write("Saving the adapter\n")
        screen = pilot.app.screen
        assert isinstance(screen, CockpitScreen)
        screen._tick()
        await pilot.pause()
        text = screen_text(pilot.app)
        assert "step 51 / 200" in text
        assert "loss 0.1234" in text
        assert "Saving the adapter" in text
        writer.close()


async def test_a_phase_shows_its_progress(make_run: Any) -> None:
    async with CodexApp(make_run(end="loading")).run_test(size=WIDE) as pilot:
        await settled(pilot)
        text = screen_text(pilot.app)
        assert "○ preparing" in text
        assert "tokenising 1,200 / 5,200 rows" in text


async def test_a_run_directory_without_events_log_or_config(make_run: Any) -> None:
    run: RunDirectory = make_run(end="training", steps=0)
    run.events.unlink()
    run.log.unlink()
    run.config.write_text("{ not json")
    async with CodexApp(run).run_test(size=NARROW) as pilot:
        await settled(pilot)
        assert "starting the trainer" in screen_text(pilot.app)


@pytest.mark.parametrize(("end", "size"), [("training", WIDE), ("done", NARROW), ("stopped", NARROW)])
@pytest.mark.parametrize("part", ["config", "events"])
async def test_a_run_of_a_newer_version_says_so_in_the_banner(
    make_run: Any, part: str, end: str, size: tuple[int, int]
) -> None:
    run: RunDirectory = make_run(end=end, steps=80)
    if part == "config":
        write_config(run, read_config(run) | {"version": 2})
    else:
        run.events.write_bytes(run.events.read_bytes().replace(b'"v":1', b'"v":2'))
    async with CodexApp(run).run_test(size=size) as pilot:
        await settled(pilot)
        text = " ".join(screen_text(pilot.app).split())
        assert (
            f"zombies-1 was written by a newer Codex TUI ({part} version 2, this one knows 1). "
            "Update: pip install -U codex-tui."
        ) in text
        assert text.count("newer Codex TUI") == 1
        assert ("r" in pilot.app.screen.query_one(HintBar).keys) == (part == "events" and end == "stopped")
