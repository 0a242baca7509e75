"""Formats numbers as short text, and draws them as bars and histories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from codex_tui.ui.kit.chart import Raster, Scale
from codex_tui.ui.kit.drawing import MUTED, line

if TYPE_CHECKING:
    from codex_tui.base.progress import Progress


def format_loss(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def format_rate(value: float | None) -> str:
    """Formats a learning rate: 0.0002 as "2.00e-4"."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    return f"{value / 10**exponent:.2f}e{exponent}"


def format_percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f} %"


def format_count(value: float | None) -> str:
    """Formats 12345 as "12,345" and 1234567 as "1.23 M"."""
    if value is None:
        return "–"
    if value >= 1e9:
        return f"{value / 1e9:.2f} B"
    return f"{value / 1e6:.2f} M" if value >= 1e6 else f"{value:,.0f}"


def format_gib(mib: float | None) -> str:
    """Formats `mib` MiB as a number of GiB, without the unit."""
    return "–" if mib is None else f"{mib / 1024:.1f}"


def compute_percent(done: float, total: float) -> int:
    """Returns the percentage, rounded down: 100 means that all is done."""
    return int(100 * done / total) if total else 0


def format_share(progress: Progress) -> str:
    """Formats the percentage of `progress` as "  25 %", for the end of a line; "" if the total is unknown."""
    return f"  {compute_percent(progress.done, progress.total)} %" if progress.total else ""


def draw_progress(fraction: float, width: int, style: str = "$primary") -> Content:
    """Draws a progress bar of `width` cells. `fraction` is from 0 to 1; the smallest step is half a cell."""
    halves = round(max(0.0, min(1.0, fraction)) * width * 2)
    full, half = divmod(halves, 2)
    rest = width - full - half
    return line(("━" * full + "╸" * half, style), ("─" * rest, "$rule"))


def draw_bar(fraction: float, width: int, style: str = "$primary", mark: float | None = None) -> Content:
    """Draws a level from 0 to 1, with a tick at the highest level so far (`mark`)."""
    cells = draw_progress(fraction, width, style)
    if mark is None or not width:
        return cells
    at = min(width - 1, max(0, round(mark * width) - 1))
    return Content.assemble(cells[:at], ("┃", "bold $warning"), cells[at + 1 :])


def draw_history(
    values: Sequence[float | None], width: int, top: float, *, low: float = 0.0, height: int = 1
) -> list[Content]:
    """Draws the last `2 * width` values as a dotted line of `height` rows, on a scale from `low` to `top`.

    The line grows from the left and then scrolls. A missing value leaves a gap.
    """
    raster, scale = Raster(width, height), Scale(low, top, 4 * height)
    for x, value in enumerate(list(values)[-2 * width :] if width else ()):
        if value is not None and top > low:
            raster.set_dot(x, scale.to_dot(value))
    return [line(("".join(chr(0x2800 | dots) if dots else " " for dots in row), MUTED)) for row in raster.rows()]
