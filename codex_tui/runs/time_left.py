"""Estimates how long a run still takes, from its probe before the first step and from its own steps then. A pause does
not change it."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from math import inf
from statistics import StatisticsError, fmean, linear_regression, median_low
from typing import NamedTuple

from codex_tui.runs.pace import INTERRUPTED, average_uninterrupted, find_first_point
from training.contract import events as ev
from training.history.state import RunState

MAX_PACE_POINTS = 1000  # those that the time left is estimated from, if many steps are still to come
WARM_UP_STEPS = 5  # of an attempt, which may compile kernels and wait for the disk
PROBED_STEPS = 5  # as many measured steps say as much as the passes that the probe has timed
MIN_MEASURED_STEPS = 5  # besides those; with fewer, the passes that the probe has timed say more
RECENT = 10  # the evaluations and checkpoints whose duration is expected again
FORWARD_SHARE = 1 / 3  # of the time of a training step, which also goes backward


class _Step(NamedTuple):
    """The mean seconds and tokens of the steps between two logged ones."""

    seconds: float
    tokens: float


def estimate_time_left(state: RunState) -> float | None:
    """Return the seconds to the end: of the remaining steps, and of the evaluations and checkpoints still to come. None
    before the current attempt has logged two steps, unless its probe has timed a step."""
    resolved = state.resolved
    step_seconds = _estimate_coming_step_seconds(state, resolved) if resolved else None
    if resolved is None or step_seconds is None:
        return None
    saves = average_uninterrupted(event.seconds for event in state.checkpoints[-RECENT:] if event.seconds is not None)
    sampling = _estimate_sampling_seconds(state)
    evaluation = _estimate_eval_seconds(state, resolved, step_seconds) + sampling
    return max(
        0.0,
        step_seconds * (resolved.total_steps - state.step)
        + evaluation * _count_evals_left(state, resolved)
        + _estimate_current_sampling(state, sampling)
        + _estimate_book_seconds(state, resolved)
        + (saves or 0.0) * _count_left(state.step, resolved.total_steps, resolved.save_steps),
    )


def _estimate_coming_step_seconds(state: RunState, resolved: ev.Resolved) -> float | None:
    """Estimate the mean seconds of the steps still to come, from half as many past ones. The last minute alone says
    little about hours: the speed of a machine changes from minute to minute, and so does the length of the rows."""
    losses, probe = state.losses, _find_probe(state)
    half = bisect_left(losses.steps, state.step - (resolved.total_steps - state.step) // 2)
    first = max(find_first_point(state, MAX_PACE_POINTS), min(find_first_point(state), half))
    warm = max(first, bisect_left(losses.steps, state.resume_step + WARM_UP_STEPS))
    is_warm = warm < len(losses) and losses.steps[-1] - losses.steps[warm] >= MIN_MEASURED_STEPS
    steps = _measure_steps(state, warm if is_warm else first)
    usual_tokens = resolved.train_tokens / max(1, resolved.steps_per_epoch)
    if probe:  # it did not time the optimizer, so the shortest measured step may take longer
        expected = max([probe.step_seconds or 0.0, *([min(step.seconds for step in steps)] if steps else [])])
        if not is_warm:
            return expected
        logged_every = (losses.steps[-1] - losses.steps[warm]) / (len(losses) - 1 - warm)
        steps += [_Step(expected, usual_tokens)] * max(1, round(PROBED_STEPS / logged_every))
    if not steps or not usual_tokens:
        return fmean(step.seconds for step in steps) if steps else None
    return _estimate_step(steps, usual_tokens)


def _measure_steps(state: RunState, first: int) -> list[_Step]:
    """Return the steps after the `first` point, without those that were interrupted: they took many times longer than
    others, and more than their tokens explain."""
    losses = state.losses
    points = zip(*(values[first:] for values in (losses.steps, losses.times, losses.tokens)), strict=True)
    steps = [
        _Step((end - start) / (later - step), (sum_tokens - tokens) / (later - step))
        for (step, start, tokens), (later, end, sum_tokens) in pairwise(points)
    ]
    steps = [step for step in steps if 0 <= step.seconds < inf]
    if not steps:
        return []
    usual = INTERRUPTED * median_low(step.seconds for step in steps)
    usual_rate = INTERRUPTED * median_low(step.seconds / max(1.0, step.tokens) for step in steps)
    return [step for step in steps if step.seconds <= usual or step.seconds <= usual_rate * step.tokens]


def _estimate_step(steps: list[_Step], tokens: float) -> float:
    """Estimate the seconds of a step of `tokens` tokens from measured `steps`. On a large card longer steps take no
    more time, on a small one as much more as they are longer."""
    seconds, lengths = fmean(step.seconds for step in steps), fmean(step.tokens for step in steps)
    try:
        slope = linear_regression([step.tokens for step in steps], [step.seconds for step in steps]).slope
    except StatisticsError:  # all steps have the same length, or there are too few
        return seconds
    if lengths <= 0:  # of a damaged file
        return seconds
    return seconds + min(max(0.0, slope), seconds / lengths) * (tokens - lengths)


def _find_probe(state: RunState) -> ev.Probe | None:
    """Return the probe if it has timed a step. Until it has, an attempt may show that of an earlier one."""
    is_past = state.phase is not None and state.phase.name not in ("loading", "tokenising", "probing")
    return state.probe if is_past and state.probe and state.probe.step_seconds else None


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
    """Estimate the seconds of an evaluation without its samples. Before the first one, from the pass that the probe has
    timed, or from the speed of training."""
    seconds = average_uninterrupted(event.seconds for event in state.evals[-RECENT:] if event.seconds is not None)
    if seconds is None and (probe := _find_probe(state)):
        seconds = probe.eval_seconds
    if seconds is not None:
        return seconds
    rows_per_step = max(1.0, resolved.train_rows / max(1, resolved.steps_per_epoch))
    return FORWARD_SHARE * step_seconds * resolved.eval_rows / rows_per_step


def _estimate_sampling_seconds(state: RunState) -> float:
    """Estimate the seconds of the samples of an evaluation. Before the first one, they are those of the base model's
    samples. Earlier trainers did not write how long samples took."""
    evaluated_at = {event.step: event.time for event in state.evals[-RECENT:]}
    sampled = {sample.step: sample for sample in state.samples[-RECENT:]}
    later = [sample for step, sample in sampled.items() if step in evaluated_at]
    seconds = average_uninterrupted(
        max(0.0, sample.time - evaluated_at[sample.step]) if sample.seconds is None else sample.seconds
        for sample in later
    )
    if seconds is not None:
        return seconds
    return next((sample.seconds for sample in reversed(state.samples) if sample.seconds is not None), 0.0)


def _estimate_current_sampling(state: RunState, seconds: float) -> float:
    """Estimate how long the samples of an evaluation that has just ended still take, of `seconds` in all."""
    phase, last = state.phase, state.evals[-1] if state.evals else None
    if not phase or phase.name != "evaluating" or last is None or last.step != state.step:
        return 0.0
    if (state.samples and state.samples[-1].step == state.step) or phase.unit == "questions":
        return 0.0
    return max(0.0, seconds - ((state.last_event_at or last.time) - last.time))


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
