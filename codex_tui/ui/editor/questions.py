"""The editor's questions: which field to go to, which max_seq_length to set, and which remedy to apply. Call them in a
worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.screen import Screen

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import Progress, ProgressTracker
from codex_tui.profiles.draft import Draft
from codex_tui.ui.forecast.in_thread import forecast_profile
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import Trouble

if TYPE_CHECKING:
    from codex_tui.data.target import Target
    from codex_tui.ui.lengths.screen import Changes, LengthsScreen


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


async def ask_length(screen: Screen[Any], draft: Draft) -> Changes | None:
    """Compares every max_seq_length for the dataset of the draft. Returns the fields to change, None on Escape."""
    from codex_tui.data.check import TokenCount
    from codex_tui.data.target import find_local_target
    from codex_tui.ui.lengths.screen import LengthsScreen

    if (profile := draft.resolved.profile) is None:
        screen.notify("The profile has problems. Fix them first.", severity="warning")
        return None
    try:
        target = await asyncio.to_thread(find_local_target, profile, draft.path, None)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
        return None
    if target is None:
        hint = "In the list of profiles, press d to download them, then m."
        screen.post_message(Trouble("The rows are compared after their download from the Hub.", hint))
        return None
    work = ProgressTracker(Progress("loading the tokenizer"))
    lengths = LengthsScreen(target, TokenCount(work=work), "set it")
    counting = start_worker(screen, partial(_count_tokens, lengths, target, work), group="count")
    try:
        return await screen.app.push_screen_wait(lengths)
    finally:
        counting.cancel()


async def _count_tokens(lengths: LengthsScreen, target: Target, work: ProgressTracker) -> None:
    from codex_tui.data.check import TokenCount, count_rows

    def report(progress: Progress) -> None:
        work.update(progress)
        lengths.show(TokenCount(work=work))

    try:
        lengths.show(TokenCount(await count_rows(target, report)))
    except CodexError as error:
        lengths.show(TokenCount(reason=error.message, hint=error.hint))


async def ask_remedy(screen: Screen[Any], draft: Draft) -> Changes | None:
    """Shows the changes that make the draft smaller. Returns the chosen one; None on Escape, or if there is none."""
    from codex_tui.ui.forecast.remedies import RemediesScreen

    profile = draft.resolved.profile
    # The forecast on the screen may be of an earlier text, so this makes a new one.
    forecast = await asyncio.to_thread(forecast_profile, profile, draft.path) if profile else None
    if forecast and forecast.remedies:
        remedy = await screen.app.push_screen_wait(RemediesScreen(forecast))
        return {remedy.field: remedy.value} if remedy else None
    fits = forecast and forecast.memory and forecast.memory.verdict == "fits"
    screen.notify("It fits. Nothing to change." if fits else "No suggestions.", markup=False)
    return None
