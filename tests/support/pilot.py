"""Waiting for what the app does by itself, without counting seconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.segment import Segment
from textual.app import App
from textual.pilot import Pilot

from codex_tui.ui.cockpit.gpu_panel import GpuPanel
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.kit.choices import Choices
from codex_tui.ui.profiles.screen import ProfilesScreen
from codex_tui.ui.runs.screen import RunsScreen


async def until(pilot: Pilot[Any], reached: Callable[[], object], tries: int = 500) -> None:
    """Lets the app work until `reached()` is true."""
    for _ in range(tries):
        if reached():
            break
        await pilot.pause(0.02)
    assert reached(), "the app never got there"
    await pilot.pause()


async def settled(pilot: Pilot[Any]) -> None:
    """Lets the first screen get all its panes and its data."""

    def ready() -> bool:
        screen = pilot.app.screen
        if isinstance(screen, CockpitScreen):
            gpu = screen.query(GpuPanel)
            return bool(screen.focused and screen.follower and screen.follower.complete and gpu.first().has_reading)
        if isinstance(screen, ProfilesScreen):
            return bool(screen.query(Choices)) and screen.picked is not None and screen.looked_ahead
        return not isinstance(screen, RunsScreen) or any(choices.has_focus for choices in screen.query(Choices))

    await until(pilot, ready)


def screen_text(app: App[Any]) -> str:
    """What the terminal shows, row by row."""
    update = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip if isinstance(segment, Segment)) for strip in update)
