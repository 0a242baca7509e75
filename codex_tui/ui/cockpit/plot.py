"""Draws a curve as text: its range of values, its dots, the signs on it, and the x axis."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from math import isfinite
from typing import NamedTuple

from rich.style import Style
from textual.strip import Strip

from codex_tui.runs.series import Axis, ChartColumn
from codex_tui.ui.kit import chart
from codex_tui.ui.kit.painted import make_strip

FITTING_SHARE = 0.9
"""If the highest columns flatten the others, the scale fits only this share of them."""
MIN_GAIN = 2.0
"""A scale leaves out values only if the others get at least this many times the height."""


class YRange(NamedTuple):
    """`cut_max` is the highest value if it is above `high`, else None."""

    low: float
    high: float
    cut_max: float | None = None


def find_y_range(columns: Iterable[ChartColumn | None], others: Iterable[float], *, whole: bool) -> YRange | None:
    """Find the range of values to draw. Returns None if there is no finite value.

    The first losses of a run can be ten times as high as all later ones, and one spike too. Then they are left out,
    unless `whole` is True. `others` are values beside the curve, such as evaluations.
    """
    drawn = [column for column in columns if column is not None and isfinite(column.low)]
    values = list(others)
    lows, highs = [column.low for column in drawn] + values, [column.high for column in drawn] + values
    if not lows:
        return None
    low, high = min(lows), max(highs)
    fitting = sorted(highs)[min(len(highs) - 1, int(FITTING_SHARE * len(highs)))]
    if whole or high - low < MIN_GAIN * (fitting - low) or fitting <= low:
        return YRange(low, high)
    return YRange(low, fitting, high)


def find_y_ticks(bounds: YRange, rows: int, *, log: bool) -> tuple[float, float, list[float]]:
    """Find the ends of the y axis, which enclose `bounds`, and the values that get a label."""
    max_ticks = max(2, (rows + 1) // 3)
    if log and bounds.high > 0:
        low, high = chart.snap_log(max(bounds.low, bounds.high * 1e-6), bounds.high)
        return low, high, chart.find_log_ticks(low, high, max_ticks)
    values = chart.snap(bounds.low, bounds.high, max_ticks)
    return values[0], values[-1], values


def draw_curve(
    columns: Sequence[ChartColumn | None], rows: int, y: chart.Scale, *, smooth: bool
) -> tuple[chart.Raster, chart.Raster]:
    """Draw two columns of dots in each cell. Returns the faint dots of all values and the strong line.

    The strong line is the smoothed curve if `smooth`, else the curve itself, without faint dots.
    """
    raw, line = chart.Raster(len(columns) // 2, rows), chart.Raster(len(columns) // 2, rows)
    before: tuple[int, ...] | None = None
    for x, column in enumerate(columns):
        if column is None:
            continue
        if not isfinite(column.low):
            before = None  # a gap, because no finite value was logged here
            continue
        low, high, mean, level = map(y.place, column)
        if not smooth:
            level = mean
        elif low < y.dots and high >= 0:
            raw.draw_column(x, max(0, low), min(y.dots - 1, high))
        if before is None:
            line.set_dot(x, level)
        else:
            x0, low0, high0, mean0, level0 = before
            if min(level, level0) < y.dots and max(level, level0) >= 0:
                line.draw_line(x0, level0, x, level)
            if smooth and (x > x0 + 1 or low > high0 or high < low0) and min(mean, mean0) < y.dots:
                raw.draw_line(x0, mean0, x, mean)
        before = x, low, high, mean, level
    return raw, line


def compose_rows(
    raw: chart.Raster,
    line: chart.Raster,
    marks: Mapping[tuple[int, int], str],
    cursor: int | None,
    styles: Mapping[str, Style],
) -> list[Strip]:
    """Lay the `marks` (by row and column) over the line, and that over the raw dots. A cell shows only the topmost.

    `cursor` is the column of the cursor. `styles` has the names raw, smooth, eval and cursor.
    """
    lines = []
    for row, (faint, strong) in enumerate(zip(raw.rows(), line.rows(), strict=True)):
        cells = [
            ("smooth", chr(0x2800 | dots)) if dots else ("raw", chr(0x2800 | some) if some else " ")
            for some, dots in zip(faint, strong, strict=True)
        ]
        for (mark_row, column), sign in marks.items():
            if mark_row == row:
                cells[column] = ("eval", sign)
        if cursor is not None:
            text = cells[cursor][1]
            cells[cursor] = ("cursor", "│" if text == " " else text)
        runs = groupby(cells, lambda cell: cell[0])
        lines.append(make_strip(*(("".join(text for _, text in run), styles[kind]) for kind, run in runs)))
    return lines


def place_column(x: float, low: float, high: float, columns: int) -> int:
    """Find the column of the value `x` on an axis from `low` to `high`. It may be outside of 0 to `columns` - 1."""
    return int((x - low) / (high - low) * columns) if x < high else columns - 1 if x == high else columns


def draw_x_axis(axis: Axis, low: float, high: float, margin: int, columns: int, *, named: bool) -> tuple[str, str]:
    """Return the line of the x axis and the row of its labels. `named` writes the axis' name into the margin."""
    max_ticks = max(1, columns // 12)
    if axis == "time":
        values = chart.find_duration_ticks(low, high, max_ticks)
        labels = [chart.label_duration(value) for value in values]
    else:
        values = chart.find_ticks(low, high, max_ticks, whole=True)
        labels = chart.label_ticks(values)
    line, text = ["─"] * columns, [" "] * (margin + 1 + columns)
    if named:
        text[: len(axis)] = axis
    free = margin
    for value, label in zip(values, labels, strict=True):
        column = min(columns - 1, place_column(value, low, high, columns))
        line[column] = "┴"
        start = min(margin + 1 + column - len(label) // 2, len(text) - len(label))
        if start >= free:
            text[start : start + len(label)] = label
            free = start + len(label) + 1
    return " " * margin + "└" + "".join(line), "".join(text)
