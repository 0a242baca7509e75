"""Keeps a judgement and an export away from a machine that trains: a second model would take the trainer's memory and
its time."""

from __future__ import annotations

import time

from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.runs.live import find_live_run

POLL_SECONDS = 2.0


def require_idle(report: OnProgress, *, wait: bool, work: str = "a judgement") -> None:
    """Return when no run trains, so that `work` may begin. With `wait` it may take long; else raises CodexError
    if one does."""
    while run := find_live_run():
        if not wait:
            hint = f"Wait until it has ended: add --wait. Or stop it: codex-tui stop {run.name}"
            raise CodexError(_explain(run.name, work), hint)
        report(Progress("waiting for the end of a run", detail=run.name))
        time.sleep(POLL_SECONDS)


def refuse_if_busy(work: str = "a judgement") -> None:
    """Raises BadInput while a run trains, so that `work` must not begin."""
    if run := find_live_run():
        raise BadInput(_explain(run.name, work), "Wait until it has ended, or stop it: s in its cockpit.")


def _explain(run: str, work: str) -> str:
    return f"{run} is training, and {work} would take memory and time from it."
