"""Lends the card to another program, and brings the run back, from the cockpit or the list of runs."""

from __future__ import annotations

import asyncio
from typing import Literal

from textual.screen import Screen

from codex_tui.base.errors import CodexError
from codex_tui.ui.messages import Trouble
from training.contract.run_directory import RunDirectory


async def park_or_bring_back(screen: Screen[None], run: RunDirectory) -> None:
    """Park a run that trains, and bring a held one back. The same key takes a park back that has not finished.

    Call it in a Textual worker. Errors are shown as a notice.
    """
    try:
        done = await asyncio.to_thread(_park_or_bring_back, run)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
        return
    texts = {
        "park": "The run saves at the next step. Then its process ends, and the card is free. L brings it back.",
        "resume": "The run starts again.",
    }
    screen.notify(texts[done], markup=False)


def _park_or_bring_back(run: RunDirectory) -> Literal["park", "resume"]:
    from codex_tui import launcher
    from codex_tui.runs.follower import snapshot

    if run.is_kept() and (snapshot(run).held or run.read_stop_request() == "park"):
        launcher.resume(run)
        return "resume"
    launcher.park(run)
    return "park"
