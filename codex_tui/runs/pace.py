"""Estimates how fast a run trains and how long it still takes. A pause changes neither."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise
from math import inf
from statistics import fmean, median_low

from training.contract import events as ev
from training.history.state import RunState

PACE_POINTS = 50  # the logged steps that the pace is estimated from
RECENT = 10  # the evaluations and checkpoints whose duration is expected again
INTERRUPTED = 5.0  # a step that took this many times the median was interrupted, for example by a suspended laptop
MIN_LATE_SECONDS, LATE_TIMES = 300.0, 10  # a step is late after this time, and after this many times the usual
FORWARD_SHARE = 1 / 3  # of the time of a training step, which also goes backward


def average_uninterrupted(durations: Iterable[float]) -> float | None:
    """Return the mean of `durations` without those that are many times the median. None if there is none."""
    possible = [duration for duration in durations if 0 <= duration < inf]
    if not possible:
        return None
    limit = INTERRUPTED * median_low(possible)
    return fmean(duration for duration in possible if duration <= limit)


def estimate_time_left(state: RunState) -> float | None:
    """Return the seconds to the end: of the remaining steps, and of the evaluations and checkpoints still to come. None
    before the current attempt has logged two steps."""
    step_seconds, resolved = estimate_step_seconds(state), state.resolved
    if resolved is None or step_seconds is None:
        return None
    saves = average_uninterrupted(event.seconds for event in state.checkpoints[-RECENT:] if event.seconds is not None)
    return max(
        0.0,
        step_seconds * (resolved.total_steps - state.step)
        + _estimate_eval_seconds(state, resolved, step_seconds) * _count_evals_left(state, resolved)
        + _estimate_book_seconds(state, resolved)
        + (saves or 0.0) * _count_left(state.step, resolved.total_steps, resolved.save_steps),
    )


def estimate_tokens_per_second(state: RunState) -> float | None:
    """Return the speed of the last steps. None before the current attempt has logged a step."""
    if seconds := estimate_step_seconds(state):
        steps, tokens, first = state.losses.steps, state.losses.tokens, _find_first_point(state)
        return (tokens[-1] - tokens[first]) / (steps[-1] - steps[first]) / seconds
    return state.last.tokens_per_second if state.last and state.last.step > state.resume_step else None


def _find_first_point(state: RunState) -> int:
    """Find the first of the points that the pace is estimated from. Those of earlier attempts don't count."""
    steps = state.losses.steps
    return max(bisect_right(steps, state.resume_step), len(steps) - 1 - PACE_POINTS)


def estimate_step_seconds(state: RunState) -> float | None:
    """Return the seconds of a step, without pauses. None before the current attempt has logged two steps."""
    first = _find_first_point(state)
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


def _count_left(step: int, total: int, every: int) -> int:
    """Count the events after `step` that happen every `every` steps and after the last one. `every` is 0 for never."""
    return -(-total // every) - step // every if every and step < total else 0


def _count_evals_left(state: RunState, resolved: ev.Resolved) -> float:
    """Count the evaluations still to come. The current one counts as the share of it that is left."""
    step, total, every, phase = state.step, resolved.total_steps, resolved.eval_steps, state.phase
    to_come = _count_left(step, total, every)
    last_step = state.evals[-1].step if state.evals else 0
    if not (
        every and phase and phase.name == "evaluating" and last_step < step and step in (total, step // every * every)
    ):
        return to_come
    return to_come + 1 - (min(1.0, phase.done / phase.total) if phase.total else 0.0)


def _estimate_eval_seconds(state: RunState, resolved: ev.Resolved, step_seconds: float) -> float:
    """Estimate the seconds of an evaluation and its sample. Before the first one, from the speed of training, and from
    the time of the base model's sample."""
    sampled_at = {sample.step: sample.time for sample in state.samples[-RECENT:]}
    seconds = average_uninterrupted(
        event.seconds + max(0.0, sampled_at.get(event.step, event.time) - event.time)
        for event in state.evals[-RECENT:]
        if event.seconds is not None
    )
    if seconds is not None:
        return seconds
    rows_per_step = max(1.0, resolved.train_rows / max(1, resolved.steps_per_epoch))
    sampling = next((sample.seconds for sample in reversed(state.samples) if sample.seconds is not None), 0.0)
    return FORWARD_SHARE * step_seconds * resolved.eval_rows / rows_per_step + sampling


def _estimate_book_seconds(state: RunState, resolved: ev.Resolved) -> float:
    """Estimate the seconds that the questions of the book still take. 0 before they were asked for the first time."""
    rates = state.pass_rates[-RECENT:]
    seconds = average_uninterrupted(rate.seconds for rate in rates if rate.seconds is not None)
    if seconds is None:
        return 0.0
    phase, share_left = state.phase, 0.0
    if phase and phase.unit == "questions" and phase.total and rates[-1].step < state.step:
        share_left = 1 - min(1.0, phase.done / phase.total)
    return seconds * (_count_left(state.step, resolved.total_steps, resolved.book_steps) + share_left)
