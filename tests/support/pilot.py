"""Waiting for what the app does by itself, on a machine of any speed."""

from __future__ import annotations

import os
import time
from asyncio import get_running_loop, sleep
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.segment import Segment
from textual._context import visible_screen_stack
from textual.app import App
from textual.pilot import Pilot

from codex_tui.ui.cockpit.gpu_panel import GpuPanel
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.kit.choices import Choices
from codex_tui.ui.profiles.screen import ProfilesScreen
from codex_tui.ui.runs.screen import RunsScreen

THREADS = Path("/proc/self/task")
PATIENCE = 60.0  # seconds that an app may take for one step; only a test that fails waits that long
LOOK_EVERY = 0.005  # seconds
BUSY_SHARE = 0.05  # of a look's time: an app that uses less of the processor waits for something
QUIET_LOOKS, QUIET_LOOKS_WITH_TIMER = 2, 8  # of an app that has nothing left to do, or waits for a timer that repeats
SOON = QUIET_LOOKS_WITH_TIMER * LOOK_EVERY


async def wait_for_idle(min_sleep: float = 0.0, max_sleep: float = PATIENCE) -> None:
    """Wait until the app has nothing left to do. Stands in for Textual's function of that name, which gives up after
    one second, and which takes an app that gets no time on a busy machine for one that needs none."""
    end, quiet = time.monotonic() + max_sleep, 0
    while time.monotonic() < end:
        used = time.process_time()
        await sleep(LOOK_EVERY)
        is_quiet = time.process_time() - used < BUSY_SHARE * LOOK_EVERY and not has_runnable_thread()
        quiet = quiet + 1 if is_quiet else 0
        if quiet >= (QUIET_LOOKS_WITH_TIMER if waits_for_timer() else QUIET_LOOKS):
            return


def waits_for_timer() -> bool:
    """Whether a callback of the app is to run soon."""
    loop: Any = get_running_loop()
    soon = loop.time() + SOON
    return bool(loop._ready) or any(not timer.cancelled() and timer.when() < soon for timer in loop._scheduled)


def has_runnable_thread() -> bool:
    """Whether another thread is to run. It may have got no time yet."""
    return any(is_runnable(thread) for thread in THREADS.iterdir() if thread.name != str(os.getpid()))


def is_runnable(thread: Path) -> bool:
    """Whether `thread`, a folder of /proc, runs, waits for a processor or waits for a disk."""
    try:
        stat = (thread / "stat").read_text()
    except OSError:  # it has ended
        return False
    return stat.rpartition(")")[2].split()[0] in "RD"


async def until(pilot: Pilot[Any], reached: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Let the app work until `reached()` is true."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "the app never got there"
        await pilot.pause(LOOK_EVERY)
    await pilot.pause()


async def settled(pilot: Pilot[Any]) -> None:
    """Lets the first screen get all its panes and its data."""

    def ready() -> bool:
        screen = pilot.app.screen
        if isinstance(screen, CockpitScreen):
            gpu = screen.query(GpuPanel)
            return bool(screen.focused and screen.follower and screen.follower.complete and gpu.first().has_reading)
        if isinstance(screen, ProfilesScreen):
            return bool(screen.query(Choices)) and screen.picked is not None and screen.forecasts_ready
        return not isinstance(screen, RunsScreen) or any(choices.has_focus for choices in screen.query(Choices))

    await until(pilot, ready)


def screen_text(app: App[Any]) -> str:
    """What the terminal shows, row by row."""
    return "\n".join("".join(segment.text for segment in strip) for strip in screen_strips(app))


def screen_strips(app: App[Any]) -> list[list[Segment]]:
    """The segments of each row that the terminal shows.

    A dialog is drawn over the dimmed screen below it. Textual keeps what it has drawn, so this names the screens below
    as the app does: otherwise the dialog would keep an empty background whenever a test looked before the app drew it.
    """
    visible_screen_stack.set(app._background_screens)
    strips = app.screen._compositor.render_strips()
    return [[segment for segment in strip if isinstance(segment, Segment)] for strip in strips]
