"""Blames the driver for an attempt that failed or crashed while the driver does not answer.

A trainer can't always tell: it crashes inside the driver, or the error is a follow-up of the first one.
"""

from __future__ import annotations

from training.contract import events as ev
from training.contract.run_directory import RunDirectory
from training.keeper.decisions import AttemptEnd
from training.keeper.hangs import EventsTail
from training.keeper.run_config import read_config
from training.keeper.surroundings import Surroundings
from training.memory.visible_gpu import read_devices

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
    config = read_config(run)
    if not config.trained_on_gpu:
        return end
    surroundings = Surroundings(*read_devices(config.profile))
    problem = next((card.problem for card in surroundings.read_cards() if card.problem), "")
    surroundings.close_cards()
    if not problem:
        return end
    from training.contract.failures import get_hint  # here, because few keepers need it

    message = f"The GPU or its driver stopped answering: {problem}."
    return end._replace(event=ev.Failed(kind="driver_lost", message=message, hint=get_hint("driver_lost"), step=step))
