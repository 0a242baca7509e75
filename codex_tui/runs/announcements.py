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
from training.contract.run_directory import RunDirectory

EventName = Literal["done", "failed", "lost", "paused"]
MAX_TITLE, MAX_MESSAGE = 100, 300  # characters


@dataclass(frozen=True)
class Announcement:
    """An event of a run. All texts are clean. `facts` has them and more by name, for a command of the person.

    `first` is True in only one of all viewers of the run: a command must run once, while each terminal may ring.
    """

    event: EventName
    title: str
    message: str
    facts: dict[str, str]
    first: bool


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
        return self._announce(self._event, watched)

    def _is_newer_than_viewer(self) -> bool:
        return find_last_write(self._run) >= psutil.Process().create_time()

    def _announce(self, event: EventName, watched: WatchedRun) -> Announcement:
        run, state = self._run, watched.state
        verb = "was" if event == "lost" else "" if event == "failed" else "is"
        title = shorten(clean(" ".join(filter(None, (run.name, verb, event)))), MAX_TITLE)
        message = shorten(clean(_describe(event, watched)), MAX_MESSAGE)
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
        return Announcement(event, title, message, facts, first=claim(run, word))


def _find_event(watched: WatchedRun) -> EventName | None:
    match watched.status:
        case "done" | "failed" | "lost" as event:
            return event
        case "cooling":
            return "paused"
    return None


def _describe(event: EventName, watched: WatchedRun) -> str:
    if event == "done":
        return f"{describe_time(watched.state)} {describe_evaluations(watched.state)}".strip()
    if event == "paused":
        detail = watched.phase.detail if watched.phase else ""
        return f"The GPU is too hot ({detail})." if detail else "The GPU is too hot."
    return watched.reason
