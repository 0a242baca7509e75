"""The geometry of a chart made of text: round ticks, scales that map values to dots, and a grid of Braille dots."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

MAX_OUTSIDE = 2.0
"""A value outside of a scale is placed at most this many heights away, so that a line to it is drawn quickly."""
MIN_SPAN = 1e-290
"""A smaller range of values counts as none: a part of it may be too small for a number."""
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_DURATIONS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)  # seconds
# The bit of each dot of a Braille character, by row and column. Unicode added the last row later, so its bits differ.
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
# The bits of all dots of a column, by column; of the dots from a height upwards, and of the dots up to a height, by
# column and height within the cell.
_FULL = tuple(sum(dots[side] for dots in _DOTS) for side in (0, 1))
_FROM = tuple(tuple(sum(dots[side] for dots in _DOTS[: 4 - height]) for height in range(4)) for side in (0, 1))
_UP_TO = tuple(tuple(sum(dots[side] for dots in _DOTS[3 - height :]) for height in range(4)) for side in (0, 1))


@dataclass(frozen=True)
class Scale:
    """Maps values in [low, high] to the dots 0 to `dots` - 1. A `log` scale is logarithmic, and needs `low` above 0."""

    low: float
    high: float
    dots: int
    log: bool = False

    def to_dot(self, value: float) -> int:
        """Returns the dot nearest to `value`. A value outside the range gets the first or the last dot."""
        return min(self.dots - 1, max(0, self.place(value)))

    def place(self, value: float) -> int:
        """Returns the dot nearest to `value`; below 0 or above the last dot for a value outside the range."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = log10(low), log10(high), log10(max(value, self.low))
        share = (value - low) / (high - low) if high > low else 0.5
        return round(min(MAX_OUTSIDE, max(-MAX_OUTSIDE, share)) * (self.dots - 1))


def round_step(span: float, max_parts: int) -> float:
    """Finds the smallest round number (1, 2, 2.5 or 5 times a power of ten) that divides `span` into at most
    `max_parts` parts. Returns 1.0 if `span` is not a positive finite number, or so small that its parts may be 0."""
    if not (span > MIN_SPAN and isfinite(span)):
        return 1.0
    rough = span / max(1, max_parts)
    power = 10.0 ** floor(log10(rough))
    return next(step * power for step in _STEPS if step * power >= rough * (1 - 1e-9))


def snap(low: float, high: float, max_parts: int) -> list[float]:
    """Finds at most `max_parts` + 2 ticks, a round step apart, from a tick at or below `low` to one at or above `high`.

    The range of the ticks changes only when a value leaves it.
    """
    if high <= low:
        margin = abs(high) / 10 or 1.0
        low, high = low - margin if low else 0.0, high + margin
    step = round_step(high - low, max_parts)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


def snap_log(low: float, high: float) -> tuple[float, float]:
    """Finds the smallest range that contains [low, high] and whose ends are 1, 2 or 5 times a power of ten.

    `low` must be above 0.
    """
    down = max(tick for tick in _list_log_candidates(low, low) if tick <= low * (1 + 1e-9))
    up = min(tick for tick in _list_log_candidates(high, high) if tick >= high * (1 - 1e-9))
    return (down, up) if up > down else (down, down * 10)


def find_ticks(low: float, high: float, max_parts: int, *, whole: bool = False) -> list[float]:
    """Finds at most `max_parts` + 1 round numbers in [low, high]. `whole` allows only whole numbers, for counts."""
    step = round_step(high - low, max_parts)
    if whole:
        step = max(1.0, ceil(step - 1e-9))
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def find_log_ticks(low: float, high: float, max_parts: int) -> list[float]:
    """Finds round numbers for a logarithmic axis: 1, 2 and 5 times powers of ten, or powers alone if there are many."""
    inside = [tick for tick in _list_log_candidates(low, high) if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
    if len(inside) <= max_parts + 1:
        return inside
    powers = [tick for tick in inside if abs(log10(tick) - round(log10(tick))) < 1e-9]
    return powers[:: ceil(len(powers) / (max_parts + 1))] or inside[:: ceil(len(inside) / (max_parts + 1))]


def _list_log_candidates(low: float, high: float) -> list[float]:
    return [digit * 10.0**power for power in range(floor(log10(low)) - 1, ceil(log10(high)) + 2) for digit in (1, 2, 5)]


def label_ticks(values: list[float]) -> list[str]:
    """Writes ticks as labels: 20000 as "20k". All have the same number of decimals, as few as show the exact values."""
    for digits in range(7):
        labels = [_format_number(value, digits) for value in values]
        if all(
            abs(_parse_label(label) - value) <= 1e-6 * max(map(abs, values), default=1)
            for label, value in zip(labels, values, strict=True)
        ):
            return labels
    return [f"{value:.3g}" for value in values]


def _format_number(value: float, digits: int) -> str:
    """Writes 1234567 as "1.23M" if `digits` is 2. Trailing zeros are removed only from numbers of 1,000 and above."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            text = f"{value / size:.{digits}f}"
            return (text.rstrip("0").rstrip(".") if "." in text else text) + letter
    return f"{value:.{digits}f}"


def _parse_label(label: str) -> float:
    size = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}.get(label[-1], 1.0)
    return float(label.rstrip("kMGT")) * size


def round_up(value: float) -> float:
    """Rounds up to 1, 2 or 5 times a power of ten. `value` must be above 0."""
    return next(tick for tick in _list_log_candidates(value, value) if tick >= value * (1 - 1e-9))


def find_duration_ticks(low: float, high: float, max_parts: int) -> list[float]:
    """Finds at most `max_parts` + 1 ticks from `low` to `high` seconds, at round minutes, hours or days."""
    step = next((step for step in _DURATIONS if (high - low) / step <= max_parts), None)
    if step is None:
        step = 86400 * ceil((high - low) / 86400 / max_parts)
    return [float(index * step) for index in range(ceil(low / step - 1e-9), floor(high / step + 1e-9) + 1)]


def round_duration(seconds: float) -> float:
    """Rounds up to a length of time that people use: 30 s, 1 min, 2 min, ... whole days."""
    days = 86400.0 * round_up(max(seconds / 86400, 1.0))
    return next((float(step) for step in _DURATIONS if step >= max(seconds, 30)), days)


def label_duration(seconds: float) -> str:
    """Writes seconds as a short label: 0, 30s, 15m, 2h, 1h30m, 3d. Only the two largest units are written."""
    remaining = round(seconds)
    parts = []
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, remaining = divmod(remaining, size)
        if count:
            parts.append(f"{count}{letter}")
    return "".join(parts[:2]) or "0"


class Raster:
    """A grid of `width` by `height` Braille characters of 2 by 4 dots each. Dot (0, 0) is at the bottom left."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._cells = [bytearray(width) for _ in range(height)]

    def set_dot(self, x: int, y: int) -> None:
        """Sets one dot. A dot outside the grid is ignored."""
        if 0 <= x < self.width * 2 and 0 <= y < self.height * 4:
            row, within = divmod(self.height * 4 - 1 - y, 4)
            self._cells[row][x >> 1] |= _DOTS[within][x & 1]

    def draw_column(self, x: int, low: int, high: int) -> None:
        """Sets the dots of column `x` from `low` to `high`, both included. Both must be inside the grid."""
        cell, side = divmod(x, 2)
        lowest, highest = low // 4, high // 4
        for row in range(lowest, highest + 1):
            bits = _FULL[side]
            if row == lowest:
                bits &= _FROM[side][low % 4]
            if row == highest:
                bits &= _UP_TO[side][high % 4]
            self._cells[self.height - 1 - row][cell] |= bits

    def draw_line(self, x0: int, y0: int, x1: int, y1: int) -> None:
        """Draws a straight line. Both ends are included."""
        length = max(abs(x1 - x0), abs(y1 - y0))
        for index in range(length + 1):
            share = index / length if length else 0.0
            self.set_dot(round(x0 + (x1 - x0) * share), round(y0 + (y1 - y0) * share))

    def rows(self) -> list[bytearray]:
        """Returns the rows, the top one first. A byte is the offset of a cell's character from U+2800; 0 is empty."""
        return self._cells
