"""Decides what comes after the end of an attempt: the run is finished, it is held, or the next attempt starts."""

from __future__ import annotations

import os
from typing import NamedTuple

from training.contract import events as ev
from training.contract.control import Request, clean_reason
from training.contract.end_event import EndEvent
from training.contract.process import Exit
from training.contract.run_directory import RunDirectory
from training.keeper.watchers import Hold, Restart


class AttemptEnd(NamedTuple):
    """How an attempt ended. `event` is its last one, None if it was killed before it could write one.

    `ruled` is the hold for which a watcher asked the trainer to park, `restart` why a watcher killed it.
    """

    attempt: int
    event: EndEvent | None
    exit: Exit
    ruled: Hold | None = None
    restart: Restart | None = None


class Finish(NamedTuple):
    """The keeper ends. `event` is written as its last one, if the trainer's own event is not the last. It is Held if
    another keeper goes on."""

    event: ev.Stopped | ev.Failed | ev.Held | None = None


class Heal(NamedTuple):
    """The attempt found no GPU memory, lost the driver, or hung. The run continues if `healing.py` can heal it."""

    reason: str


class Next(NamedTuple):
    """The next attempt starts, as soon as each watcher allows it, and a person has ended the `hold` that they asked
    for."""

    hold: Hold | None = None


Decision = Finish | Heal | Next


def decide(end: AttemptEnd, request: Request | None) -> Decision:
    """Decide what comes after `end`. `request` is what RUN/control asks for now."""
    wants_end = request is not None and request.word in ("save", "terminate")
    match end.event:
        case ev.Held(step=step):
            if wants_end:  # it was asked for while the trainer parked
                return Finish(ev.Stopped(step=step, resumable=step > 0))
            if request is not None and request.word == "resume":
                return Next()
            if end.ruled and (request is None or request.reason == clean_reason(end.ruled.reason)):
                return Next()  # the watcher that parked it holds it now
            return Next(Hold("parked", end.event.reason, ev.BY_HAND))
        case ev.Failed(kind="gpu_memory" | "driver_lost", message=message) if not wants_end:
            return Heal(message)
        case None if end.restart and not wants_end:
            return Heal(end.restart.reason)
    return Finish()


def find_saved_step(run: RunDirectory) -> int:
    """Find the step of the last checkpoint by its name; 0 if there is none. Checkpoints get their names when they are
    whole."""
    try:
        names = os.listdir(run.checkpoints)  # noqa: PTH208  pathlib would make an object of each name
    except OSError:
        return 0
    steps = (name.removeprefix("checkpoint-") for name in names if name.startswith("checkpoint-"))
    return max((int(step) for step in steps if step.isdecimal()), default=0)
