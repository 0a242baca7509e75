"""How long the last start of a model took, which is what a person waits for before the first step of a run."""

from __future__ import annotations

from typing import NamedTuple

from codex_tui.base.errors import CodexError
from codex_tui.runs.facts import read_facts
from codex_tui.runs.library import list_run_directories
from codex_tui.runs.watched import WatchedRun
from training.contract import events as ev
from training.contract.files import open_file
from training.contract.run_directory import RunDirectory
from training.history.tailer import decode

MAX_RUNS = 20  # runs to look at, the newest first
HEAD_BYTES = 1 << 18  # of events.jsonl: the first step is far before


class StartTimes(NamedTuple):
    """The seconds from the start of a trainer until it had loaded the model, and until its first step."""

    loaded: float
    first_step: float


def find_last_start(run: RunDirectory) -> StartTimes | None:
    """Return the times of the newest run of the same model on the same machine, which may be an earlier attempt of
    `run`. None if no run is known."""
    try:
        runs = list_run_directories()
    except CodexError:
        return None
    others = [other for other in runs if other.path != run.path][:MAX_RUNS]
    model, machine = read_facts(run).model, _find_machine(run)
    for other in [run, *others]:
        is_like_it = read_facts(other).model == model and _find_machine(other) == machine
        if is_like_it and (times := measure_start(other)) is not None:
            return times
    return None


def measure_start(run: RunDirectory) -> StartTimes | None:
    """Return the times of the first attempt. None if it came to no step."""
    try:
        with open_file(run.events) as file:
            events = decode(file.read(HEAD_BYTES).rpartition(b"\n")[0] + b"\n").events
    except OSError:
        return None
    start = loaded = None
    for event in events:
        if isinstance(event, ev.Started):
            if start is not None:
                return None
            start = event.time
        elif start is not None and isinstance(event, ev.Metrics):
            first_step = max(0.0, event.time - start)
            return StartTimes(first_step if loaded is None else loaded, first_step)
        elif start is not None and loaded is None and isinstance(event, ev.Phase) and event.name != "loading":
            loaded = max(0.0, event.time - start)
    return None


def estimate_loading_left(watched: WatchedRun, last: StartTimes) -> float | None:
    """Estimate the seconds that the trainer still loads the model, if it takes as long as the `last` time. None if it
    does not load, or if it has taken longer already."""
    state, phase = watched.state, watched.phase
    if phase is None or phase.name != "loading" or state.idle_since is None or state.last_event_at is None:
        return None
    left = last.loaded - (state.last_event_at - state.idle_since)
    return left if left > 0 else None


def _find_machine(run: RunDirectory) -> str:
    """Name the machine or the cluster that trained `run`; "" for this machine."""
    if record := run.read_engine():
        return f"{record.engine} {record.host if record.folder else ''}"
    process = run.read_process()
    return process.host if process and process.is_elsewhere() else ""
