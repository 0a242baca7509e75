"""How long the last run took from its start to its first step, which is what a person waits for."""

from __future__ import annotations

from codex_tui.base.errors import CodexError
from codex_tui.runs.facts import read_facts
from codex_tui.runs.library import list_run_directories
from training.contract import events as ev
from training.contract.files import open_file
from training.contract.run_directory import RunDirectory
from training.history.tailer import decode

MAX_RUNS = 20  # runs to look at, the newest first
HEAD_BYTES = 1 << 18  # of events.jsonl: the first step is far before


def find_last_loading_time(run: RunDirectory) -> float | None:
    """Return the seconds that the newest run of the same model took to its first step, which may be an earlier attempt
    of `run`. None if no run is known."""
    try:
        runs = list_run_directories()
    except CodexError:
        return None
    others = [other for other in runs if other.path != run.path][:MAX_RUNS]
    model = read_facts(run).model
    for other in [run, *others]:
        if read_facts(other).model == model and (seconds := measure_loading_time(other)) is not None:
            return seconds
    return None


def measure_loading_time(run: RunDirectory) -> float | None:
    """Return the seconds from the start of the first attempt to its first step. None if it did not come so far."""
    try:
        with open_file(run.events) as file:
            events = decode(file.read(HEAD_BYTES).rpartition(b"\n")[0] + b"\n").events
    except OSError:
        return None
    start = None
    for event in events:
        if isinstance(event, ev.Started):
            if start is not None:
                return None
            start = event.time
        elif start is not None and isinstance(event, ev.Metrics):
            return max(0.0, event.time - start)
    return None
