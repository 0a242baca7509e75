"""Stops and parks runs."""

from __future__ import annotations

from typing import Literal

from codex_tui.base.errors import BadInput
from codex_tui.engines.refresh import refresh
from codex_tui.engines.registry import find_engine
from codex_tui.runs.follower import snapshot
from training.contract.control import Request
from training.contract.run_directory import RunDirectory

StopRequest = Literal["save", "terminate", "kill", "end"]
"""What a stop does to the run. end: no trainer ran (the run was held or waited), so the run ends at once and nothing is
lost."""
PARK_REASON = "You lent the card."


def stop(run: RunDirectory) -> StopRequest:
    """Ask the run to end. The first request lets it save, the second ends it at once, the third kills the trainer, or
    the keeper if there is no trainer.

    Returns what the request does to the run. Raises BadInput where no trainer or keeper runs, CodexError where the
    request did not reach the machine that trains.
    """
    refresh(run)
    if not run.is_live():
        raise BadInput(f"{run.name} is not training.", "See what there is with: codex-tui runs")
    engine, last_request = find_engine(run), run.read_stop_request()
    if last_request in (None, "park"):
        watched = snapshot(run)
        engine.ask(run, Request("save"))
        return "end" if watched.held or watched.status == "waiting" else "save"
    if last_request == "save":
        engine.ask(run, Request("terminate"))
        return "terminate"
    engine.kill(run)
    return "kill"


def park(run: RunDirectory, reason: str = PARK_REASON) -> None:
    """Ask the run to save, end its trainer, and wait until it is resumed. Does nothing if it is parked.

    Raises BadInput if nobody could resume it: it does not train, or it ends already, or its keeper is gone. Raises
    CodexError where the request did not reach the machine that trains.
    """
    refresh(run)
    watched = snapshot(run)
    if not run.is_live() or watched.ended:
        raise BadInput(f"{run.name} is not training.", "See what there is with: codex-tui runs")
    if run.read_stop_request() in ("save", "terminate"):
        raise BadInput(f"{run.name} is stopping already.", f"Continue it later with: codex-tui resume {run.name}")
    if not run.is_kept():
        raise BadInput(
            f"The keeper of {run.name} is gone, so nobody would resume it.",
            f"Stop it, and resume it later: codex-tui stop {run.name}",
        )
    if watched.status != "parked":
        find_engine(run).ask(run, Request("park", reason))
