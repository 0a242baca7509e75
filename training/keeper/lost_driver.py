"""Blames the driver for an attempt that failed or crashed while the driver does not answer.

A trainer can't always tell: it crashes inside the driver, or the error is a follow-up of the first one.
"""

from __future__ import annotations

from training.contract import events as ev
from training.contract.config import ConfigError, RunConfig, get_table
from training.contract.run_directory import RunDirectory
from training.keeper.decisions import AttemptEnd
from training.keeper.hangs import EventsTail
from training.keeper.surroundings import Surroundings

CRASHES = ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE")


def blame_driver(run: RunDirectory, end: AttemptEnd) -> AttemptEnd:
    """Return `end` with the failure "driver_lost" if the run trains on a GPU, its attempt ended by an unknown error or
    a crash, and the driver does not answer now. Else return `end` itself."""
    match end.event:
        case ev.Failed(kind="unknown" | "driver_mismatch", step=step):
            pass
        case None if end.restart is None and end.exit.signal in CRASHES:
            step = EventsTail().read(run).step or 0
        case _:
            return end
    try:
        config = RunConfig.read(run.config)
    except ConfigError:
        return end
    if not config.trained_on_gpu:
        return end
    card = Surroundings(get_table(config.profile, "hardware").get("device", "auto"))
    problem = card.read_card().problem
    card.close_card()
    if not problem:
        return end
    from training.contract.failures import get_hint  # here, because few keepers need it

    message = f"The GPU or its driver stopped answering: {problem}."
    return end._replace(event=ev.Failed(kind="driver_lost", message=message, hint=get_hint("driver_lost"), step=step))
