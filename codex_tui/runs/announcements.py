"""Finds the events of a run that a person wants to know at once: it is done, failed, lost or paused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import psutil

from codex_tui.base.text import clean, shorten
from codex_tui.runs.announced import claim
from codex_tui.runs.outcome import find_last_write
from codex_tui.runs.result import describe_evaluations, describe_time
from codex_tui.runs.watched import WatchedRun
from training.contract import events as ev
from training.contract.run_directory import RunDirectory

EventName = Literal["done", "failed", "lost", "paused"]
MAX_TITLE, MAX_MESSAGE = 100, 300  # characters
FAILURES: dict[ev.FailureKind, str] = {
    "gpu_memory": "The GPU ran out of memory",
    "pinned_memory": "Page-locked memory ran out",
    "host_memory": "The memory of the machine ran out",
    "disk_full": "A disk is full",
    "file_size_limit": "A file may not grow any more",
    "model_not_found": "The model was not found",
    "gated_model": "The model is gated",
    "offline": "The Hub could not be reached",
    "bad_token": "The Hub refused the token",
    "bad_data": "The dataset can't be used",
    "bad_config": "The settings of the run can't be used",
    "driver_mismatch": "The driver does not fit",
    "driver_lost": "The GPU or its driver stopped answering",
    "missing_library": "A library is missing",
    "nan_loss": "The loss was NaN, infinite or exploded",
    "terminated": "The trainer was ended from outside",
    "unknown": "It ended with an error",
}
"""What a webhook is told of a failure. The message of a failure may have paths and rows, and stays on this machine."""


@dataclass(frozen=True)
class Announcement:
    """An event of a run. All texts are clean. `facts` has them and more by name, for a command of the person.

    `summary` is the message for other machines: it has nothing of a dataset, and no path that it knows of. `first` is
    True in only one of all viewers of the run: a command must run once, while each terminal may ring.
    """

    event: EventName
    title: str
    message: str
    summary: str
    facts: dict[str, str]
    first: bool

    @property
    def is_urgent(self) -> bool:
        return self.event in ("failed", "lost")


class Announcer:
    """Watches one run for one viewer. An event that came before the viewer started is not announced."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._event: EventName | None = None
        self._has_looked = False

    def find_new(self, watched: WatchedRun) -> Announcement | None:
        """Return an announcement if `watched` has a new event. Call this only with the whole history of the run."""
        before, self._event = self._event, _find_event(watched)
        is_first_look, self._has_looked = not self._has_looked, True
        if self._event is None or self._event == before:
            return None
        if is_first_look and (self._event == "paused" or not self._is_newer_than_viewer()):
            return None
        return _announce(self._run, self._event, watched)

    def _is_newer_than_viewer(self) -> bool:
        return find_last_write(self._run) >= psutil.Process().create_time()


def find_current(run: RunDirectory, watched: WatchedRun) -> Announcement | None:
    """Return the announcement of what has become of `run`, for a program that looks at it once. None if there is
    nothing to tell."""
    event = _find_event(watched)
    return _announce(run, event, watched) if event else None


def _announce(run: RunDirectory, event: EventName, watched: WatchedRun) -> Announcement:
    state = watched.state
    verb = "was" if event == "lost" else "" if event == "failed" else "is"
    title = shorten(clean(" ".join(filter(None, (run.name, verb, event)))), MAX_TITLE)
    message, summary = (
        shorten(clean(text), MAX_MESSAGE) for text in (_describe(event, watched), _summarise(event, watched))
    )
    evals = [loss.eval_loss for loss in state.evals if loss.eval_loss is not None]
    facts = {
        "event": event,
        "run": clean(run.name),
        "directory": clean(run.path),
        "title": title,
        "message": message,
        "step": str(state.step),
        "total_steps": str(state.total_steps or ""),
        "eval_loss": f"{evals[-1]:.4f}" if evals else "",
        "adapter": clean(run.adapter) if run.has_adapter() else "",
    }
    word = f"paused at {state.step}" if event == "paused" else event
    return Announcement(event, title, message, summary, facts, first=claim(run, word))


def _find_event(watched: WatchedRun) -> EventName | None:
    match watched.status:
        case "done" | "failed" | "lost" as event:
            return event
        case "cooling":
            return "paused"
    return None


def _describe(event: EventName, watched: WatchedRun) -> str:
    if event == "done":
        state = watched.state
        return " ".join(filter(None, (describe_time(state), describe_evaluations(state), state.reason)))
    if event == "paused":
        detail = watched.phase.detail if watched.phase else ""
        return f"The GPU is too hot ({detail})." if detail else "The GPU is too hot."
    return watched.reason


def _summarise(event: EventName, watched: WatchedRun) -> str:
    """Describe `event` in the words of this program alone. The reason of a failure may have paths and rows, and that of
    a lost run the last line of its log."""
    state = watched.state
    place = f"at step {state.step:,}" + (f" of {state.total_steps:,}" if state.total_steps else "")
    if event == "failed":
        return f"{FAILURES[state.failure.kind] if state.failure else FAILURES['unknown']}, {place}."
    if event == "lost":
        return f"The trainer ended without a message, {place}."
    return _describe(event, watched)
