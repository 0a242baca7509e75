"""Stops a run in up to three requests: save and stop, end now, kill. Each asks first and says what is lost."""

from __future__ import annotations

import asyncio

from textual.screen import Screen

from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean
from codex_tui.runs.outcome import find_last_checkpoint
from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.kit.dialogs import Confirm
from codex_tui.ui.messages import Trouble
from training.contract.run_directory import RunDirectory


async def ask_to_stop(screen: Screen[None], run: RunDirectory, watched: WatchedRun) -> None:
    """Ask the user for the next stop request and send it. Errors are shown as a notice.

    Call it in a Textual worker, since it waits for the answer to a dialog.
    """
    from codex_tui import stopping

    if watched.ended:
        screen.notify("The run has already ended.", markup=False)
        return
    if not await screen.app.push_screen_wait(_make_question(run, watched)):
        return
    try:
        request = await asyncio.to_thread(stopping.stop, run)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
        return
    texts = {
        "save": "Stopping: the run finishes its step, saves and stops.",
        "terminate": "Ending the run now.",
        "kill": "Killed the run.",
        "end": "The run ends. It can be resumed later.",
    }
    screen.notify(texts[request], markup=False)


def _make_question(run: RunDirectory, watched: WatchedRun) -> Confirm:
    checkpoints = watched.state.checkpoints
    if watched.held or watched.liveness == "waiting":
        step = watched.held.step if watched.held else find_last_checkpoint(watched.state)
        kept = f"It is saved at step {step:,}" if step else "It has trained no step"
        text = f"The run is {watched.status} and has no trainer. {kept}: nothing is lost, and you can resume it later."
        return Confirm("End the run?", text, "end it", f"leave it {watched.status}")
    if watched.liveness == "unreachable":
        text = f"{clean(watched.reason)} The request arrives only if it answers now."
        return Confirm("Try to stop the run?", text, "try it", "wait")
    last_request = run.read_stop_request()
    saved = f"You keep the checkpoint at step {checkpoints[-1].step:,}." if checkpoints else (
        "No checkpoint is saved yet: you would lose all progress."
    )  # fmt: skip
    if last_request in (None, "park"):
        return Confirm(
            "Stop and save?",
            "Finishes this step, saves a checkpoint and the adapter, and stops. You can resume later.",
            "stop and save",
            "keep training",
        )
    if last_request == "save":
        text = f"Still saving. Ending it now saves nothing more. {saved}"
        return Confirm("End the run now?", text, "end now", "keep saving")
    text = f"The run has not ended yet. Use this only if nothing else works. {saved}"
    return Confirm("Kill the run?", text, "kill", "wait")
