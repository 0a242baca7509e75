"""Which steps a chart shows, and where its cursor is: the zoom and the cursor of a person who reads values."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import ceil

from training.history.series import Axis, Series

MIN_SPAN = 8  # steps; a smaller window would show only a few points
FOLLOW_PARTS = 8  # a window that follows the newest step moves by this part of its span, so that few cells change


class ChartWindow:
    """Steps are kept, not places on the x axis, so that another axis or another curve shows the same points."""

    def __init__(self) -> None:
        self.cursor: int | None = None  # a step of the curve
        self._span: int | None = None  # steps of the window; None: the whole run
        self._center: int | None = None  # None: the window follows the newest step

    @property
    def is_zoomed(self) -> bool:
        return self._span is not None

    def close(self) -> None:
        """Put the cursor away or, if there is none, show the whole run."""
        if self.cursor is not None:
            self.cursor = None
        else:
            self._span = self._center = None

    def zoom(self, factor: float, last_step: int) -> None:
        """Make the window `factor` times as wide, around the cursor or at the newest step. `last_step` is that of the
        x axis."""
        span = ceil((self._span or last_step) * factor)
        if span >= last_step:
            self._span = self._center = None
        else:
            self._span, self._center = max(MIN_SPAN, span), self.cursor

    def find_range(self, series: Series, axis: Axis, whole: float) -> tuple[float, float]:
        """Return the lowest and highest x value to show. `whole` is the upper end of the axis of the whole run."""
        if self._span is None or not series:
            return 0.0, whole
        newest = series.steps[-1]
        if self._center is None:
            part = max(1, self._span // FOLLOW_PARTS)
            high = -(-newest // part) * part
        else:
            high = self._center + self._span // 2
        high = max(high, self._span)
        low = high - self._span
        x_low, x_high = series.x_of_step(low, axis) or 0.0, series.x_of_step(high, axis) or whole
        return (float(x_low), float(x_high)) if x_high > x_low else (0.0, whole)

    def move(self, series: Series, axis: Axis, low: float, high: float, columns: int, offset: int) -> None:
        """Move the cursor by `offset` columns, at least to the next point. The first move by one puts it on the
        newest point."""
        xs = series.values(axis)
        if not xs:
            return
        last = len(xs) - 1
        here = last if self.cursor is None else min(last, bisect_left(series.steps, self.cursor))
        width = (high - low) / columns
        column = int((xs[here] - low) / width)
        if self.cursor is None and abs(offset) == 1:
            index = last
        elif offset > 0:
            index = min(last, max(here + 1, bisect_left(xs, low + (column + offset) * width)))
        else:
            index = max(0, min(here - 1, bisect_right(xs, low + (column + offset + 1) * width) - 1))
        self.cursor = series.steps[index]
        if self._span is not None and not low <= xs[index] <= high:
            self._center = self.cursor
