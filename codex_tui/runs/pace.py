"""Estimates how fast a run trains. A pause does not change it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from math import inf
from statistics import fmean, median_low

from training.history.state import RunState

PACE_POINTS = 50  # the logged steps that the speed is estimated from
INTERRUPTED = 5.0  # a step that took this many times the median was interrupted, for example by a suspended laptop
MIN_LATE_SECONDS, LATE_TIMES = 300.0, 10  # a step is late after this time, and after this many times the usual


def average_uninterrupted(durations: Iterable[float]) -> float | None:
    """Return the mean of `durations` without those that are many times the median. None if there is none."""
    possible = [duration for duration in durations if 0 <= duration < inf]
    if not possible:
        return None
    limit = INTERRUPTED * median_low(possible)
    return fmean(duration for duration in possible if duration <= limit)


def estimate_tokens_per_second(state: RunState) -> float | None:
    """Return the speed of the last steps. None before the current attempt has logged a step."""
    if seconds := estimate_step_seconds(state):
        steps, tokens, first = state.losses.steps, state.losses.tokens, find_first_point(state)
        return (tokens[-1] - tokens[first]) / (steps[-1] - steps[first]) / seconds
    return state.last.tokens_per_second if state.last and state.last.step > state.resume_step else None


def find_first_point(state: RunState, points: int = PACE_POINTS) -> int:
    """Find the first of the last `points` logged steps. Those of earlier attempts don't count."""
    steps = state.losses.steps
    return max(bisect_right(steps, state.resume_step), len(steps) - 1 - points)


def estimate_step_seconds(state: RunState) -> float | None:
    """Return the seconds of a step, without pauses. None before the current attempt has logged two steps."""
    first = find_first_point(state)
    points = zip(state.losses.steps[first:], state.losses.times[first:], strict=True)
    return average_uninterrupted((end - start) / (later - step) for (step, start), (later, end) in pairwise(points))


def describe_late_step(state: RunState) -> str:
    """Return a text such as "no step for 12 min" when the next logged step is long overdue, else ""."""
    usual = estimate_step_seconds(state)
    if state.status != "training" or usual is None or state.last_event_at is None or state.idle_since is not None:
        return ""
    steps, times = state.losses.steps, state.losses.times
    waited = state.last_event_at - state.training_since - times[-1]
    if waited < max(MIN_LATE_SECONDS, LATE_TIMES * usual * (steps[-1] - steps[-2])):
        return ""
    return f"no step for {waited / 60:.0f} min"
