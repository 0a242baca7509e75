"""Draws curves as text: the range of their values, their dots, the signs on them, and both axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from math import isfinite
from typing import Literal, NamedTuple, get_args

from rich.style import Style
from textual.strip import Strip

from codex_tui.runs.watched import WatchedRun
from codex_tui.ui.kit import chart
from codex_tui.ui.kit.painted import make_strip
from training.history.series import Axis, ChartColumn

FITTING_SHARE = 0.9
"""If the highest columns flatten the others, the scale fits only this share of them."""
MIN_GAIN = 2.0
"""A scale leaves out values only if the others get at least this many times the height."""
MIN_NAMED_MARGIN = 6
"""The margin must have this width to hold the name of the x axis."""

ScaleName = Literal["fit", "log", "whole"]
"""fit: linear; the highest values are left out if they flatten the rest. whole: linear, with all values."""


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


class YScale:
    """The scale that the user chose for the y axis. `cycle` goes from linear to logarithmic to linear with all values;
    the last one is left out if it would look the same as the first."""

    def __init__(self) -> None:
        self.name: ScaleName = "fit"
        self._is_cut = False  # whether the highest values are left out

    @property
    def is_log(self) -> bool:
        return self.name == "log"

    def cycle(self) -> None:
        self.name = self._find_next()

    def describe_next(self) -> str:
        following = self._find_next()
        if following == "fit" and self._is_cut:
            return "fit 90 %"
        return {"fit": "linear scale", "log": "log scale", "whole": "all values"}[following]

    def describe(self, bounds: YRange) -> list[str]:
        """Return what a person must know about the scale to read it; nothing if it is linear and has all values."""
        if self.is_log:
            return ["logarithmic"]
        return [] if bounds.cut_max is None else [f"scaled to 90 %, max {bounds.cut_max:.4g}"]

    def find_range(self, columns: Sequence[ChartColumn | None], others: Sequence[float]) -> YRange | None:
        """Find the range of values to draw. Returns None if there is no finite value. See `find_y_range`."""
        fitting = find_y_range(columns, others, whole=False)
        self._is_cut = fitting is not None and fitting.cut_max is not None
        return fitting if self.name == "fit" else find_y_range(columns, others, whole=True)

    def _find_next(self) -> ScaleName:
        if self.name == "fit":
            return "log"
        return "whole" if self.name == "log" and self._is_cut else "fit"


class Frame:
    """The axes around a plot of `width` by `height` cells. The plot has `rows` rows and `columns` columns of cells, and
    `y` maps its values to dots."""

    def __init__(self, bounds: YRange, width: int, height: int, *, log: bool) -> None:
        self._has_line = height >= 7  # a lower chart has only the labels of the x axis
        self.rows = height - 1 - self._has_line
        low, high, values = find_y_ticks(bounds, self.rows, log=log)
        labels = chart.label_ticks(values)
        self._margin = max(MIN_NAMED_MARGIN if width >= 40 else 4, *(len(label) + 1 for label in labels))
        self.columns = width - self._margin - 1
        self.y = chart.Scale(low, high, self.rows * 4, log and low > 0)
        self._labels = {self.find_row(value): label for value, label in zip(values, labels, strict=True)}

    def find_row(self, value: float) -> int:
        """Find the row of `value`, which is in the range of the axis."""
        return self.rows - 1 - self.y.to_dot(value) // 4

    def draw(
        self, plotted: Iterable[Strip], axis: Axis, low: float, high: float, styles: Mapping[str, Style]
    ) -> list[Strip]:
        """Add the axes to the rows of the plot. The x axis goes from `low` to `high`. `styles` has label and axis."""
        margin, lines = self._margin, []
        for row, strip in enumerate(plotted):
            tick = self._labels.get(row, "")
            left = make_strip((f"{tick:>{margin - 1}} ", styles["label"]), ("┤" if tick else "│", styles["axis"]))
            lines.append(Strip.join([left, strip]))
        line, text = draw_x_axis(axis, low, high, margin, self.columns, named=margin >= MIN_NAMED_MARGIN)
        if self._has_line:
            lines.append(make_strip((line, styles["axis"])))
        return [*lines, make_strip((text, styles["label"]))]


def find_y_ticks(bounds: YRange, rows: int, *, log: bool) -> tuple[float, float, list[float]]:
    """Find the ends of the y axis, which enclose `bounds`, and the values that get a label."""
    max_ticks = max(2, (rows + 1) // 3)
    if log and bounds.high > chart.MIN_SPAN:  # the powers of ten below a smaller number may be 0
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


def find_next_axis(axis: Axis) -> Axis:
    """Return the x axis after `axis`: steps, time, tokens, and steps again."""
    axes: tuple[Axis, ...] = get_args(Axis)
    return axes[(axes.index(axis) + 1) % len(axes)]


def find_axis_end(watched: WatchedRun, axis: Axis) -> float:
    """Find the upper end of the x axis of the whole run: the run's last step if it is known, else a round number, so
    that the axis rarely changes while the curve grows."""
    state = watched.state
    xs = state.losses.values(axis)
    latest = float(xs[-1]) if xs else 0.0
    if axis == "steps":
        latest = max(latest, state.step, *(event.step for event in state.evals[-1:]))
        if state.total_steps and not watched.ended:
            return max(latest, state.total_steps)
    if watched.ended:
        return max(latest, 1.0)
    if axis == "time":
        return chart.round_duration(latest)
    return chart.round_up(max(latest, 10.0))
