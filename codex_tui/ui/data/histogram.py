"""The histogram of the rows' lengths in tokens, with a line at max_seq_length."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, pairwise

from textual.content import Content

from codex_tui.ui.kit.drawing import MUTED, line

MAX_BARS = 12
MIN_BIN_WIDTH = 16  # tokens


def find_edges(ordered: Sequence[int], limit: int) -> list[int]:
    """Finds the edges of the bins for lengths in ascending order: round numbers, and `limit`.

    The last bin has no fixed width: it takes the few rows that are far longer than all others.
    """
    longest, p99 = ordered[-1], ordered[len(ordered) * 99 // 100]
    top = longest if longest < 3 * p99 else 2 * p99
    widths = (width << doubled for doubled in count() for width in (MIN_BIN_WIDTH, MIN_BIN_WIDTH * 3 // 2))
    width = next(width for width in widths if top < width * MAX_BARS)
    edges = list(range(0, top + width + 1, width))
    if edges[-1] <= longest:
        edges.append(longest + 1)
    return sorted({*edges, limit}) if 0 < limit < edges[-1] else edges


def draw_histogram(ordered: Sequence[int], limit: int, marks: Mapping[str, int], width: int) -> Iterator[Content]:
    """Draws the lengths of the rows, in tokens and ascending order, in lines of `width` cells.

    `marks` are named lengths ("p50"), which are written beside their bars.
    """
    if not ordered:
        return
    bins = list(pairwise(find_edges(ordered, limit)))
    counts = [bisect_left(ordered, high) - bisect_left(ordered, low) for low, high in bins]
    labels = [f"{low:,}–{high - 1:,}" for low, high in bins]
    notes = [" ".join(name for name, length in marks.items() if low <= length < high) for low, high in bins]
    widths = (max(map(len, texts)) for texts in (labels, [f"{count:,}" for count in counts], notes))
    label_width, count_width, note_width = widths
    room = max(4, width - label_width - count_width - note_width - 6)
    for (low, _), label, rows, note in zip(bins, labels, counts, notes, strict=True):
        if low == limit:
            yield _draw_limit(limit, label_width)
        sign, style = ("┊", "$warning") if low >= limit else (" ", "$primary")
        bar = _draw_bar(rows, max(counts), room, style)
        figure = f" {rows:>{count_width},}"
        yield line((f"{label:>{label_width}} ", MUTED), (sign, style), bar, figure, (f"  {note}", MUTED))
    if limit >= bins[-1][1]:
        yield _draw_limit(limit, label_width)


def _draw_limit(limit: int, label_width: int) -> Content:
    return line((f"{'':>{label_width}} ┄┄ max_seq_length {limit:,} ┄┄", "bold $warning"))


def _draw_bar(rows: int, max_rows: int, width: int, style: str) -> Content:
    """Draws a bar in steps of an eighth of a cell. One row among thousands still has a visible bar."""
    eighths = max(1, round(rows * width * 8 / max_rows)) if rows else 0
    full, rest = divmod(eighths, 8)
    cells = "█" * full + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")
    return line((cells, style), " " * (width - len(cells)))
