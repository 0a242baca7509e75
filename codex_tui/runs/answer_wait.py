"""Says how long a question to the trainer of a run waits, and for what."""

from __future__ import annotations

from codex_tui.base.text import format_duration
from codex_tui.runs.pace import average_uninterrupted, estimate_step_seconds
from codex_tui.runs.watched import WatchedRun

_WAITS = {
    "preparing": "waits until the run has loaded, and for its first step",
    "probing": "waits for the first step",
    "training": "waits for the end of the step",
    "answering": "waits for the end of an earlier answer",
    "evaluating": "waits for the end of the evaluation and of the next step",
    "saving": "waits until the checkpoint is saved, and for the next step",
    "cooling": "waits until the GPU is cool again",
}


def describe_wait(watched: WatchedRun, now: float) -> str:
    """Describe the wait at `now`, in Unix seconds: "waits for the end of the step, about 0:40"."""
    words = _WAITS.get(watched.status, "waits for the trainer")
    seconds = estimate_wait(watched, now)
    return words if seconds is None else f"{words}, about {format_duration(max(1.0, seconds))}"


def estimate_wait(watched: WatchedRun, now: float) -> float | None:
    """Estimate the seconds until the trainer answers. None if that is not known."""
    state, phase = watched.state, watched.phase
    step_seconds = estimate_step_seconds(state)
    if step_seconds is None or state.last is None:
        return None
    match watched.status:
        case "training":
            return step_seconds - max(0.0, now - state.last.time) % step_seconds
        case "evaluating":
            before = average_uninterrupted(event.seconds for event in state.evals if event.seconds is not None)
            left = 1 - min(1.0, phase.done / phase.total) if phase and phase.total else 1.0
        case "saving":
            before = average_uninterrupted(event.seconds for event in state.checkpoints if event.seconds is not None)
            left = 1.0
        case _:
            return None
    return None if before is None else before * left + step_seconds
