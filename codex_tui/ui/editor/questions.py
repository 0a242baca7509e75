"""The editor's questions: which field to go to, and which remedy to apply. Call them in a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from codex_tui.profiles.draft import Draft
from codex_tui.ui.forecast.in_thread import forecast_profile

if TYPE_CHECKING:
    from training.memory.forecast import Remedy


async def ask_field(screen: Screen[Any], names: Sequence[str], index: int) -> int | None:
    """Asks for a part of a field's name. Returns the number of the next such field after `index`, None on Escape."""
    from codex_tui.ui.kit.dialogs import Ask

    def check(text: str) -> str:
        return "" if any(text.strip().lower() in name for name in names) else "No field name contains this."

    text = await screen.app.push_screen_wait(Ask("Find a field", "Part of the field's name", "go to field", "", check))
    if not text:
        return None
    order = [*range(index + 1, len(names)), *range(index + 1)]
    return next(number for number in order if text.lower() in names[number])


async def ask_remedy(screen: Screen[Any], draft: Draft) -> Remedy | None:
    """Shows the changes that make the draft smaller. Returns the chosen one; None on Escape, or if there is none."""
    from codex_tui.ui.forecast.remedies import RemediesScreen

    profile = draft.resolved.profile
    # The forecast on the screen may be of an earlier text, so this makes a new one.
    forecast = await asyncio.to_thread(forecast_profile, profile, draft.path) if profile else None
    if forecast and forecast.remedies:
        return await screen.app.push_screen_wait(RemediesScreen(forecast))
    fits = forecast and forecast.memory and forecast.memory.verdict == "fits"
    screen.notify("It fits. Nothing to change." if fits else "No suggestions.", markup=False)
    return None
