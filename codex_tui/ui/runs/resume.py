"""Resumes a run from the cockpit or the list of runs."""

from __future__ import annotations

import asyncio

from textual.screen import Screen

from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean
from codex_tui.ui.kit.dialogs import Confirm
from codex_tui.ui.messages import Trouble
from training.contract.run_directory import RunDirectory


async def resume(screen: Screen[None], run: RunDirectory, *, from_start: bool = False) -> None:
    """Resume `run` and show the step that it resumes from, or that it is queued because other runs have its card. If no
    checkpoint is whole, ask before it starts over.

    Call it in a Textual worker, since it may wait for the answer to a dialog. Errors are shown as a notice.
    """
    from codex_tui import launcher
    from codex_tui.runs.engine_reason import name_place
    from codex_tui.runs.queue import find_place
    from codex_tui.runs.resume_point import NoWholeCheckpoint
    from codex_tui.workers.process import describe_unused_python

    if record := run.read_engine():  # it may have to send files, or to wait for an answer
        screen.notify(clean(f"Asking {name_place(record)} to resume the run …"), markup=False)
    try:
        point = await asyncio.to_thread(launcher.resume, run, from_start=from_start, wait=True)
        place = await asyncio.to_thread(find_place, run)
    except NoWholeCheckpoint as error:
        text = f"{error.message} The damaged checkpoints are kept."
        if await screen.app.push_screen_wait(Confirm("Start over?", text, "train from the start")):
            await resume(screen, run, from_start=True)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
    else:
        notice = await asyncio.to_thread(describe_unused_python, run)
        is_queued = place is not None and place.position is not None
        does = f"Queued: it continues {point.start} when its turn comes." if is_queued else f"Resuming {point.start}."
        text = f"{point.damaged} {does} {notice}".strip()
        screen.notify(clean(text), severity="warning" if point.damaged or notice else "information", markup=False)
