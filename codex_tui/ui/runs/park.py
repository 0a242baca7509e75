"""Lends the card to another program, and brings the run back, from the cockpit or the list of runs."""

from __future__ import annotations

import asyncio

from textual.screen import Screen

from codex_tui.base.errors import CodexError
from codex_tui.ui.messages import Trouble
from training.contract.run_directory import RunDirectory


async def park_or_bring_back(screen: Screen[None], run: RunDirectory) -> None:
    """Park a run that trains, and bring a held one back. The same key takes a park back that has not finished.

    Call it in a Textual worker. Errors are shown as a notice.
    """
    try:
        text = await asyncio.to_thread(_park_or_bring_back, run)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
        return
    screen.notify(text, markup=False)


def _park_or_bring_back(run: RunDirectory) -> str:
    """Park `run` or bring it back. Returns a text that says what happens to it next."""
    from codex_tui import launcher, stopping
    from codex_tui.runs.follower import snapshot

    if not launcher.can_bring_back(run):
        waits = snapshot(run).liveness == "waiting"
        stopping.park(run)
        if waits:
            return "The run keeps its place in the queue, and does not start until you press L again."
        return "The run saves at the next step. Then its process ends, and the card is free. L brings it back."
    held = snapshot(run).held
    launcher.resume(run, wait=held is None or held.state != "queued")
    if held is None:
        return "The run goes on: it is not parked."
    return "The run starts now." if held.state == "queued" else "The run goes on as soon as it has the card."
