"""Stores the loss curve as columns of numbers, cuts it on a resume, and downsamples it for a chart."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import islice
from math import inf, isfinite, nan
from operator import lt
from struct import pack
from typing import Any, Literal, NamedTuple

Axis = Literal["steps", "time", "tokens"]

SMOOTHING = 0.1
"""Smallest weight of the newest point in the smoothed curve. TensorBoard calls this a smoothing of 0.9."""
WARMUP = 20
"""The first point has weight 1, and the weight of the newest of n points is WARMUP / (WARMUP - 1 + n). So the smoothed
curve follows the steep losses at the start of a run, where a fixed small weight would stay far above them."""
BLOCK = 128
"""Points per summary. A million points are drawn from a few thousand summaries."""
NUMBER_BYTES = 8  # of each number of a column
COLUMNS = 5  # of the points, and of the summaries


class ChartColumn(NamedTuple):
    """The summary of all points in one column of the chart. All fields are NaN if none of the points is finite."""

    low: float
    high: float
    mean: float
    smooth: float


class PackedPoints(NamedTuple):
    """The `length` points of a series from `first` on, and the summaries of the blocks that begin there or later.
    `finite` and `mean` are those of the whole series."""

    first: int
    length: int
    finite: int
    mean: float
    data: bytes | memoryview

    def count_blocks(self) -> int:
        return (self.first + self.length) // BLOCK - self.first // BLOCK

    def count_bytes(self) -> int:
        return NUMBER_BYTES * COLUMNS * (self.length + self.count_blocks())


_NOTHING_FINITE = ChartColumn(nan, nan, nan, nan)


class Series:
    """A curve over strictly increasing steps. A step that is added again replaces its old point and all later ones.

    `losses` may contain NaN. `smooth` is the exponential moving average, computed point by point, so that it looks the
    same at any width. It starts close to the losses and skips NaN. `times` are seconds of training, `tokens` counts.

    The smoothed curve and the summaries of blocks are made when something asks for them: a list of runs never does.
    """

    def __init__(self) -> None:
        self.steps = array("q")
        self.losses = array("d")
        self.times = array("d")
        self.tokens = array("q")
        self._smooth = array("d")  # of the first points; see `catch_up`
        self.kept = 0  # number of first points that `cut_after` has left alone since someone last set this
        self._mean = 0.0  # the last value of `_smooth`
        self._finite = 0  # number of finite points that `_smooth` has
        self._low = array("d")  # summaries of whole blocks, of their finite points only
        self._high = array("d")
        self._sum = array("d")
        self._smooth_sum = array("d")
        self._finite_points = array("q")

    def __len__(self) -> int:
        return len(self.steps)

    def append(self, step: int, loss: float, time: float, tokens: int) -> None:
        self.extend([step], [loss], [time], [tokens])

    def extend(self, steps: list[int], losses: list[float | None], times: list[float], tokens: list[int]) -> None:
        """Add points. All lists must have the same length. None in `losses` counts as NaN."""
        if not steps:
            return
        if not all(map(lt, steps, islice(steps, 1, None))):
            for step, loss, time, count in zip(steps, losses, times, tokens, strict=True):
                self.append(step, nan if loss is None else loss, time, count)
            return
        if self.steps and steps[0] <= self.steps[-1]:
            self.cut_after(steps[0] - 1)
        finite_or_nan = _replace_none(losses)
        # struct.pack takes a third of the time of array.extend with a list.
        floats, integers = f"{len(steps)}d", f"{len(steps)}q"
        self.steps.frombytes(pack(integers, *steps))
        self.losses.frombytes(pack(floats, *finite_or_nan))
        self.times.frombytes(pack(floats, *times))
        self.tokens.frombytes(pack(integers, *tokens))

    def cut_after(self, step: int) -> None:
        """Remove all points after `step`."""
        keep = bisect_right(self.steps, step)
        if keep < len(self.steps):
            self._finite -= sum(map(isfinite, self._smooth[keep:]))
            self._cut(keep)
            self._mean = next((mean for mean in reversed(self._smooth) if isfinite(mean)), 0.0)

    def _cut(self, keep: int) -> None:
        self.kept = min(self.kept, keep)
        for column in self._columns():
            del column[keep:]
        for blocks in self._block_columns():
            del blocks[keep // BLOCK :]

    def _columns(self) -> tuple[array[Any], ...]:
        return self.steps, self.losses, self._smooth, self.times, self.tokens

    def _block_columns(self) -> tuple[array[Any], ...]:
        return self._low, self._high, self._sum, self._smooth_sum, self._finite_points

    def pack(self, first: int) -> PackedPoints:
        """Return the points from `first` on as bytes."""
        self.catch_up()
        columns = [column[first:].tobytes() for column in self._columns()]
        blocks = [column[first // BLOCK :].tobytes() for column in self._block_columns()]
        return PackedPoints(first, len(self) - first, self._finite, self._mean, b"".join(columns + blocks))

    def unpack(self, packed: PackedPoints) -> None:
        """Replace all points from `packed.first` on. Raises ValueError if the number of bytes is wrong, or if a time is
        not finite."""
        if packed.first > len(self.steps) or len(packed.data) != packed.count_bytes():
            raise ValueError(packed.first)
        self._cut(packed.first)
        end = 0
        for columns, count in ((self._columns(), packed.length), (self._block_columns(), packed.count_blocks())):
            for column in columns:
                start, end = end, end + NUMBER_BYTES * count
                column.frombytes(packed.data[start:end])
        if not isfinite(sum(self.times[packed.first :])):
            raise ValueError(packed.first)
        self._finite, self._mean = packed.finite, packed.mean

    @property
    def smooth(self) -> array[float]:
        self.catch_up()
        return self._smooth

    def values(self, axis: Axis) -> array[float] | array[int]:
        """Return the x values of all points on `axis`."""
        return self.steps if axis == "steps" else self.times if axis == "time" else self.tokens

    def x_of_step(self, step: int, axis: Axis) -> float | None:
        """Return the x value of the last point at or before `step` on `axis`. None before the first point."""
        if axis == "steps":
            return step
        index = bisect_right(self.steps, step)
        return self.values(axis)[index - 1] if index else None

    def bounds(self) -> tuple[float, float] | None:
        """Return the smallest and the largest finite loss, or None if there is none."""
        if not self.steps:
            return None
        self.catch_up()
        column = self._column(0, len(self.steps))
        return (column.low, column.high) if isfinite(column.low) else None

    def downsample(self, axis: Axis, low: float, high: float, columns: int) -> list[ChartColumn | None]:
        """Divide [low, high] into `columns` equal parts and summarise each. None for a part without points."""
        self.catch_up()
        xs = self.values(axis)
        width = (high - low) / columns
        reduced: list[ChartColumn | None] = []
        start = bisect_left(xs, low)
        for index in range(1, columns + 1):
            if index < columns:
                end = bisect_left(xs, low + index * width, min(start, len(xs)))
            else:
                end = bisect_right(xs, high, min(start, len(xs)))
            reduced.append(self._column(start, end) if end > start else None)
            start = max(start, end)
        return reduced

    def catch_up(self) -> None:
        """Smooth and summarise the points that are new."""
        new = self.losses[len(self._smooth) :]
        if new:
            self._smooth.frombytes(pack(f"{len(new)}d", *self._smooth_losses(new)))
            self._summarise_blocks()

    def _smooth_losses(self, losses: Sequence[float]) -> list[float]:
        mean, finite = self._mean, self._finite
        if _weight(finite + 1) == SMOOTHING and isfinite(sum(losses)):
            smooth = [mean := mean + (loss - mean) * SMOOTHING for loss in losses]
            finite += len(losses)
        else:
            smooth = []
            for loss in losses:
                if isfinite(loss):
                    finite += 1
                    mean += (loss - mean) * _weight(finite)
                smooth.append(mean if isfinite(loss) else nan)
        self._mean, self._finite = mean, finite
        return smooth

    def _summarise_blocks(self) -> None:
        for start in range(len(self._low) * BLOCK, len(self.losses) - BLOCK + 1, BLOCK):
            low, high, total, smooth_total, finite = self._summarise(start, start + BLOCK)
            self._low.append(low)
            self._high.append(high)
            self._sum.append(total)
            self._smooth_sum.append(smooth_total)
            self._finite_points.append(finite)

    def _summarise(self, start: int, end: int) -> tuple[float, float, float, float, int]:
        """Return the low, high, sum, smoothed sum and number of the finite points in [start, end)."""
        losses: Sequence[float] = self.losses[start:end]
        smooth: Sequence[float] = self._smooth[start:end]
        if not isfinite(sum(losses)):
            losses = [loss for loss in losses if isfinite(loss)]
            smooth = [mean for mean in smooth if isfinite(mean)]
        if not losses:
            return inf, -inf, 0.0, 0.0, 0
        return min(losses), max(losses), sum(losses), sum(smooth), len(losses)

    def _column(self, start: int, end: int) -> ChartColumn:
        """Summarise the points in [start, end). Uses the summaries of whole blocks where possible."""
        first, last = -(-start // BLOCK), end // BLOCK
        if first >= last:
            low, high, total, smooth, count = self._summarise(start, end)
        else:
            low, high = min(self._low[first:last]), max(self._high[first:last])
            total, smooth = sum(self._sum[first:last]), sum(self._smooth_sum[first:last])
            count = sum(self._finite_points[first:last])
            for left, right in ((start, first * BLOCK), (last * BLOCK, end)):
                if left < right:
                    part = self._summarise(left, right)
                    low, high = min(low, part[0]), max(high, part[1])
                    total, smooth, count = total + part[2], smooth + part[3], count + part[4]
        return ChartColumn(low, high, total / count, smooth / count) if count else _NOTHING_FINITE


def _weight(finite: int) -> float:
    """Return the weight of the newest of `finite` points."""
    return max(SMOOTHING, WARMUP / (WARMUP - 1 + finite))


def _replace_none(losses: list[float | None]) -> list[float]:
    if None in losses:
        return [nan if loss is None else loss for loss in losses]
    return losses  # type: ignore[return-value]  # there is no None among them
