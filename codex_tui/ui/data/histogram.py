"""How long the rows are: a bar for each stretch of lengths, and the line of max_seq_length among them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, pairwise

from textual.content import Content

from codex_tui.ui.kit.drawing import MUTED, line

MOST_BARS = 12
NARROWEST = 16  # tokens of a stretch


def edges(ordered: Sequence[int], limit: int) -> list[int]:
    """Where the stretches of `ordered` lengths begin, and the end of the last: round numbers, and `limit` among them. A
    few rows far longer than all others share the last."""
    longest, usual = ordered[-1], ordered[len(ordered) * 99 // 100]
    top = longest if longest < 3 * usual else 2 * usual
    widths = (width << doubled for doubled in count() for width in (NARROWEST, NARROWEST * 3 // 2))
    width = next(width for width in widths if top < width * MOST_BARS)
    found = list(range(0, top + width + 1, width))
    if found[-1] <= longest:
        found.append(longest + 1)
    return sorted({*found, limit}) if 0 < limit < found[-1] else found


def histogram(ordered: Sequence[int], limit: int, marks: Mapping[str, int], width: int) -> Iterator[Content]:
    """The rows' lengths in tokens, ascending, and `marks` by name ("p50"), in lines of `width` cells."""
    if not ordered:
        return
    stretches = list(pairwise(edges(ordered, limit)))
    rows = [bisect_left(ordered, high) - bisect_left(ordered, low) for low, high in stretches]
    names = [f"{low:,}–{high - 1:,}" for low, high in stretches]
    here = [" ".join(name for name, at in marks.items() if low <= at < high) for low, high in stretches]
    label, number, noted = (max(map(len, texts)) for texts in (names, [f"{n:,}" for n in rows], here))
    room = max(4, width - label - number - noted - 6)
    for (low, _), name, within, marked in zip(stretches, names, rows, here, strict=True):
        if low == limit:
            yield _limit_line(limit, label)
        sign, style = ("┊", "$warning") if low >= limit else (" ", "$primary")
        bar = _bar(within, max(rows), room, style)
        yield line((f"{name:>{label}} ", MUTED), (sign, style), bar, f" {within:>{number},}", (f"  {marked}", MUTED))
    if limit >= stretches[-1][1]:
        yield _limit_line(limit, label)


def _limit_line(limit: int, label: int) -> Content:
    return line((f"{'':>{label}} ┄┄ max_seq_length {limit:,} ┄┄", "bold $warning"))


def _bar(rows: int, most: int, width: int, style: str) -> Content:
    """A level in eighths of a cell: a single row among thousands is still seen."""
    eighths = max(1, round(rows * width * 8 / most)) if rows else 0
    full, rest = divmod(eighths, 8)
    cells = "█" * full + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")
    return line((cells, style), " " * (width - len(cells)))
