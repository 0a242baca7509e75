"""Finds the changes of a run that a person wants to know at once: it is done, failed, lost, paused, parked or healed.

What the person did themselves, such as a park by hand, is none of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import psutil

from codex_tui.base.text import clean, shorten
from codex_tui.runs.announced import claim
from codex_tui.runs.healed import describe_briefly, describe_heal
from codex_tui.runs.outcome import find_last_write
from codex_tui.runs.result import describe_evaluations, describe_time
from codex_tui.runs.watched import ENDED, HELD, WatchedRun
from training.contract import events as ev
from training.contract.loan import ENDS_BY_PERSON
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.base.settings_schema import NoticeEvent

VERBS: dict[NoticeEvent, str] = {
    "failed": "", "lost": "was", "healed": "was", "stopped": "was", "started": "has", "resumed": "has"
}  # fmt: skip
CUT_SECONDS = 300.0  # an engine that does not answer for so long is announced: a short cut of a link is nothing
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


class Change(NamedTuple):
    """`word` tells two changes of the same kind apart."""

    event: NoticeEvent
    word: str


@dataclass(frozen=True)
class Announcement:
    """An event of a run. All texts are clean. `facts` has them and more by name, for a command of the person.

    `summary` is the message for other machines: it has nothing of a dataset, and no path that it knows of. `first` is
    True in only one of all viewers of the run: a command must run once, while each terminal may ring.
    """

    event: NoticeEvent
    title: str
    message: str
    summary: str
    facts: dict[str, str]
    first: bool

    @property
    def is_urgent(self) -> bool:
        return self.event in ("failed", "lost")


class Announcer:
    """Watches one run for one viewer. A change that came before the viewer started is not announced."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._known: list[Change] = []
        self._has_looked = False

    def find_new(self, watched: WatchedRun) -> Announcement | None:
        """Return an announcement if `watched` has a new change, one at a time. Call this only with the whole history of
        the run."""
        changes = _find_changes(watched)
        new = [change for change in changes if change not in self._known]
        if not self._has_looked:
            self._has_looked = True
            self._known = changes
            ends = [change for change in new if change.event in ("done", "failed", "lost")]
            return _announce(self._run, ends[0], watched) if ends and self._is_newer_than_viewer() else None
        self._known = [change for change in changes if change not in new[1:]]
        return _announce(self._run, new[0], watched) if new else None

    def _is_newer_than_viewer(self) -> bool:
        return find_last_write(self._run) >= psutil.Process().create_time()


def find_untold(run: RunDirectory, watched: WatchedRun) -> list[Announcement]:
    """Return the changes of `run` that nobody has told the person yet, for a program that looks at it once. They
    include some that no viewer announces, because few people want to know them."""
    changes = _find_changes(watched)
    if event := _find_quiet_event(run, watched):
        changes.append(Change(event, event))
    announcements = (_announce(run, change, watched) for change in changes)
    return [announcement for announcement in announcements if announcement.first]


def _announce(run: RunDirectory, change: Change, watched: WatchedRun) -> Announcement:
    state, event = watched.state, change.event
    title = shorten(clean(" ".join(filter(None, (run.name, VERBS.get(event, "is"), event)))), MAX_TITLE)
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
    word = f"paused at {state.step}" if event == "paused" else change.word
    first = claim(run, word, attempt=0 if event == "healed" else None)
    return Announcement(event, title, message, summary, facts, first)


def _find_changes(watched: WatchedRun) -> list[Change]:
    """Return what every viewer announces of the run as it is now."""
    changes = [Change("healed", f"healed {event.seq}") for event in watched.state.healed[-1:]]
    if event := _find_event(watched):
        since = f" since {watched.engine.since:.0f}" if watched.engine and event in ("waiting", "unreachable") else ""
        changes.append(Change(event, f"{event}{since}"))
    return changes


def _find_event(watched: WatchedRun) -> NoticeEvent | None:
    match watched.status:
        case "done" | "failed" | "lost" | "waiting" as event:
            return event
        case "unreachable":
            return "unreachable" if _is_cut_for_long(watched) else None
        case "parked":
            return None if watched.held is None or watched.held.ends in ENDS_BY_PERSON else "parked"
        case "cooling":
            return "paused"
    return None


def _is_cut_for_long(watched: WatchedRun) -> bool:
    return watched.engine is not None and time.time() - watched.engine.since > CUT_SECONDS


def _find_quiet_event(run: RunDirectory, watched: WatchedRun) -> NoticeEvent | None:
    match watched.status:
        case "stopped" | "queued" as event:
            return event
        case status if status in ENDED or status in HELD or status in ("cooling", "stopping", "unreachable"):
            return None
    process = run.read_process()
    return "resumed" if process and process.attempt > 1 else "started"


def _describe(event: NoticeEvent, watched: WatchedRun) -> str:
    match event:
        case "done":
            state = watched.state
            return " ".join(filter(None, (describe_time(state), describe_evaluations(state), state.reason)))
        case "paused":
            detail = watched.phase.detail if watched.phase else ""
            return f"The GPU is too hot ({detail})." if detail else "The GPU is too hot."
        case "parked" | "waiting" | "queued" | "unreachable":
            return f"{watched.reason} {watched.ends}".strip()
        case "healed":
            return describe_heal(watched.state.healed[-1])
        case "started" | "resumed":
            return f"It trains from step {watched.state.step:,}."
    return watched.reason


def _summarise(event: NoticeEvent, watched: WatchedRun) -> str:
    """Describe `event` in the words of this program alone. The reason of a failure may have paths and rows, and that of
    a lost run the last line of its log. What parks a run is named by its own name."""
    state = watched.state
    place = f"at step {state.step:,}" + (f" of {state.total_steps:,}" if state.total_steps else "")
    if event == "failed":
        return f"{FAILURES[state.failure.kind] if state.failure else FAILURES['unknown']}, {place}."
    if event == "lost":
        return f"The trainer ended without a message, {place}."
    if event == "healed":
        healed = watched.state.healed[-1]
        cause = FAILURES["gpu_memory"] if healed.kind == "gpu_memory" else "It hung"
        return f"{cause}, {place}. It goes on from step {healed.step:,}: {describe_briefly(healed)}."
    return _describe(event, watched)
