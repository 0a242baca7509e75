"""Going on with a run: says from which step, and asks before it begins anew."""

from __future__ import annotations

import asyncio

from textual.screen import Screen

from codex_tui.base.errors import CodexError
from codex_tui.ui.kit.dialogs import Confirm
from codex_tui.ui.messages import Trouble
from training.contract.run_directory import RunDirectory


async def resume(screen: Screen[None], run: RunDirectory, *, from_start: bool = False) -> None:
    """Runs in a worker: it may wait for an answer."""
    from codex_tui import launcher
    from codex_tui.runs.resume_point import NoWholeCheckpoint

    try:
        point = await asyncio.to_thread(launcher.resume, run, from_start=from_start)
    except NoWholeCheckpoint as error:
        text = f"{error.message} What is damaged is kept."
        if await screen.app.push_screen_wait(Confirm("Begin anew?", text, "train from the start")):
            await resume(screen, run, from_start=True)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
    else:
        said = f"{point.damaged} Resuming {point.start}.".lstrip()
        screen.notify(said, severity="warning" if point.damaged else "information", markup=False)
