"""The small charts below the loss of a large terminal: learning rate, gradient norm, speed, VRAM, temperature."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rich.style import Style
from textual.strip import Strip

from codex_tui.base import bandwidth
from codex_tui.ui.cockpit.chart_legend import SMOOTHED, format_value
from codex_tui.ui.kit import chart, plot
from codex_tui.ui.kit.painted import make_strip
from training.history.series import Axis, Series

HEIGHT = 6  # rows: a blank one, the names, and the curves
MIN_CHART_SIZE = (100, 18)  # columns and rows of a chart that has room for small ones
MIN_WIDTH = 24  # columns of a small chart
GAP = 2


def has_room(width: int, height: int) -> bool:
    """Whether small charts fit below a chart of this size. Over a slow connection there are none: they cost bytes."""
    return width >= MIN_CHART_SIZE[0] and height >= MIN_CHART_SIZE[1] and not bandwidth.pace.low


def draw_small_charts(
    curves: Mapping[str, Series], axis: Axis, low: float, high: float, width: int, style: Callable[[str], Style]
) -> list[Strip]:
    """Draw the curves that have points, side by side, over the same x values as the chart above. Returns `HEIGHT` rows,
    or none if there is no curve."""
    having = [(name, series) for name, series in curves.items() if series]
    if not having:
        return []
    having = having[: width // MIN_WIDTH]
    cells = width // len(having) - GAP
    columns = [_draw(name, series, axis, low, high, cells, style) for name, series in having]
    gap, blank = (make_strip((" " * count, style("label"))) for count in (GAP, width))
    rows = [Strip.join([part for strip in row for part in (strip, gap)]) for row in zip(*columns, strict=True)]
    return [blank, *rows]


def _draw(
    name: str, series: Series, axis: Axis, low: float, high: float, cells: int, style: Callable[[str], Style]
) -> list[Strip]:
    heading = f"{name} {format_value(name, series.losses[-1])}"[:cells]
    columns = series.downsample(axis, low, high, cells * 2)
    bounds = plot.find_y_range(columns, [], whole=False)
    rows = HEIGHT - 2
    lines = [make_strip((f"{heading:<{cells}}", style("label")))]
    if bounds is None:
        return lines + [make_strip((" " * cells, style("label")))] * rows
    margin = 0.0 if bounds.high > bounds.low else abs(bounds.high) or 1.0  # a constant is drawn in the middle
    y = chart.Scale(bounds.low - margin, bounds.high + margin, rows * 4)
    raw, line = plot.draw_curve(columns, rows, y, smooth=name in SMOOTHED)
    return lines + plot.compose_rows(raw, line, {}, None, {part: style(part) for part in ("raw", "smooth")})
