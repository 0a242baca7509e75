"""Moves a queued run, and takes it out of the queue, from the list of runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from textual.screen import Screen

from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean
from codex_tui.ui.messages import Trouble
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.runs.queue import Move


async def move(screen: Screen[None], run: RunDirectory, to: Move) -> None:
    """Move `run` among the queued runs of its card. Call it in a Textual worker. Errors are shown as a notice."""
    from codex_tui.runs.queue import move_queued

    try:
        await asyncio.to_thread(move_queued, run, to)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))


async def remove(screen: Screen[None], run: RunDirectory) -> None:
    """Take `run` out of the queue. Call it in a Textual worker. Errors are shown as a notice."""
    from codex_tui.runs.queue import remove_queued

    try:
        await asyncio.to_thread(remove_queued, run)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
    else:
        screen.notify(f"{clean(run.name)} leaves the queue. Press r to queue it again.", markup=False)
