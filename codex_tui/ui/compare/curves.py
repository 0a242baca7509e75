"""The curves that the comparison draws: the losses of a run, and its evaluations as a curve of their own."""

from __future__ import annotations

from bisect import bisect_right
from math import nan
from typing import Literal, get_args

from training.history.series import Axis, ChartColumn, Series
from training.history.state import RunState

CurveName = Literal["loss", "eval loss"]
CURVE_NAMES: tuple[CurveName, ...] = get_args(CurveName)


def build_eval_curve(state: RunState) -> Series:
    """Build the curve of the evaluation losses, with its values in `losses`. The time and tokens of an evaluation are
    those of the last logged step before it."""
    losses, curve = state.losses, Series()
    points: dict[int, tuple[float, float, int]] = {}
    for event in state.evals:
        index = bisect_right(losses.steps, event.step) - 1
        value = nan if event.eval_loss is None else event.eval_loss
        points[event.step] = (value, losses.times[index], losses.tokens[index]) if index >= 0 else (value, 0.0, 0)
    for step in sorted(points):
        curve.append(step, *points[step])
    return curve


def reduce_to_line(
    series: Series, axis: Axis, low: float, high: float, columns: int, *, smooth: bool
) -> list[ChartColumn | None]:
    """Divide [low, high] into `columns` parts, each with one value: the smoothed curve, or the mean of the values."""
    line: list[ChartColumn | None] = []
    for column in series.downsample(axis, low, high, columns):
        if column is None:
            line.append(None)
        else:
            value = column.smooth if smooth else column.mean
            line.append(ChartColumn(value, value, value, value))
    return line
