"""Ending a run: each step asks first and says what it costs."""

from __future__ import annotations

import asyncio

from textual.screen import Screen

from codex_tui.base.errors import CodexError
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.kit.dialogs import Confirm
from codex_tui.ui.messages import Trouble
from training.contract.run_directory import RunDirectory


async def ask_to_stop(screen: Screen[None], run: RunDirectory, watched: WatchedRun) -> None:
    """Asks for what the next request would do, and sends it. Runs in a worker: it waits for the answer."""
    from codex_tui import launcher

    if watched.ended:
        screen.notify("The run has ended; there is nothing to stop.", markup=False)
        return
    if not await screen.app.push_screen_wait(_question(run, watched)):
        return
    try:
        asked = await asyncio.to_thread(launcher.stop, run)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
        return
    said = {
        "save": "Asked to stop: it ends its step, saves and ends.",
        "terminate": "Asked to end at once.",
        "kill": "Killed.",
    }
    screen.notify(said[asked], markup=False)


def _question(run: RunDirectory, watched: WatchedRun) -> Confirm:
    before = run.stop_requested()
    checkpoints = watched.state.checkpoints
    kept = f"What is saved is the checkpoint at step {checkpoints[-1].step:,}." if checkpoints else (
        "No checkpoint is saved yet: all of it would be lost."
    )  # fmt: skip
    if before is None:
        return Confirm(
            "Stop and save?",
            "The run ends its step, saves a checkpoint and the adapter, and ends. It can be resumed later.",
            "stop and save",
        )
    if before == "save":
        return Confirm(
            "Terminate it now?",
            f"It was asked to stop and save and is still at it. Terminating saves nothing more. {kept}",
            "terminate",
        )
    return Confirm(
        "Kill it?",
        f"It was asked to end and still runs. Killing it is the last resort and can't be refused. {kept}",
        "kill",
    )
