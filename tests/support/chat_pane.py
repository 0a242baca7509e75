"""Questions typed into the chat pane."""

from __future__ import annotations

from typing import Any

from codex_tui.ui.cockpit.chat import ChatPane
from support.pilot import settled


async def ask(pilot: Any, text: str, key: str = "enter") -> ChatPane:
    """Type `text` into the question of the chat pane, and press `key`."""
    await settled(pilot)
    pane: ChatPane = pilot.app.screen.query_one(ChatPane)
    pilot.app.screen.set_focus(None)
    await pilot.press("c", *("space" if letter == " " else letter for letter in text), key)
    return pane
