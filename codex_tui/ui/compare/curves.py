"""The curves that the comparison draws: the losses of a run, its evaluation losses and its pass rates."""

from __future__ import annotations

from typing import Literal, get_args

from codex_tui.runs.evaluation_curves import build_eval_curve, build_pass_curve
from training.history.series import Axis, ChartColumn, Series
from training.history.state import RunState

CurveName = Literal["loss", "eval loss", "pass rate"]
CURVE_NAMES: tuple[CurveName, ...] = get_args(CurveName)


def build_curve(name: CurveName, state: RunState) -> Series:
    """Return the curve `name` of a run, with its values in `losses`."""
    match name:
        case "eval loss":
            return build_eval_curve(state)
        case "pass rate":
            return build_pass_curve(state)
    return state.losses


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
