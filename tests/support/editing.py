"""The editor with a profile of the person, driven by keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot
from textual.widgets import Input

from codex_tui.base import locations
from codex_tui.ui.app import CodexApp
from codex_tui.ui.editor.screen import EditorScreen
from codex_tui.ui.kit.dialogs import Ask
from support.pilot import settled, until

MINE = """\
# My own, in my own order.
title = "Mine"   # shown in the list

[lora]
r = 32            # doubled
lora_alpha = 32

[model]
name = "unsloth/Llama-3.2-3B-Instruct"
"""


def write_mine() -> Path:
    """Write MINE into the profiles of the person. Call it with an empty home."""
    path = locations.user_profiles() / "mine.toml"
    path.parent.mkdir(parents=True)
    path.write_text(MINE)
    return path


@asynccontextmanager
async def editing(*keys: str, size: tuple[int, int] = (120, 36)) -> AsyncIterator[Pilot[Any]]:
    """Presses `keys` in the list of profiles, and opens the editor on the picked profile."""
    async with CodexApp().run_test(size=size) as pilot:
        await settled(pilot)
        await pilot.press(*keys, "e")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen) and pilot.app.screen.forecast)
        yield pilot


async def go_to(pilot: Pilot[Any], path: str) -> None:
    await pilot.press("slash")
    await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
    pilot.app.screen.query_one(Input).value = path
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen) and editor(pilot).picked.schema.path == path)


async def type_in(pilot: Pilot[Any], value: str) -> None:
    await pilot.press("enter")
    pilot.app.screen.query_one("#typed", Input).value = value
    await pilot.pause()


def editor(pilot: Pilot[Any]) -> EditorScreen:
    screen = pilot.app.screen
    assert isinstance(screen, EditorScreen)
    return screen
