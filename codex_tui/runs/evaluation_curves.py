"""The curves of what is measured at evaluations: the evaluation loss, and the pass rate of the book in percent."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from math import nan

from training.history.series import Series
from training.history.state import RunState


def build_eval_curve(state: RunState) -> Series:
    """Build the curve of the evaluation losses, with its values in `losses`."""
    return _build_curve(state, ((one.step, nan if one.eval_loss is None else one.eval_loss) for one in state.evals))


def build_pass_curve(state: RunState) -> Series:
    """Build the curve of the pass rates in percent, with its values in `losses`."""
    return _build_curve(state, ((one.step, 100 * one.rate) for one in state.pass_rates))


def _build_curve(state: RunState, values: Iterable[tuple[int, float]]) -> Series:
    """The time and tokens of a value are those of the last logged step before it."""
    losses, curve = state.losses, Series()
    for step, value in sorted(dict(values).items()):
        index = bisect_right(losses.steps, step) - 1
        time, tokens = (losses.times[index], losses.tokens[index]) if index >= 0 else (0.0, 0)
        curve.append(step, value, time, tokens)
    return curve
