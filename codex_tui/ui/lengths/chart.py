"""The chart of the rows' lengths in tokens, with a line at the picked max_seq_length."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log

from textual.content import Content
from textual.strip import Strip

from codex_tui.ui.kit.drawing import MUTED, line, to_strips
from codex_tui.ui.kit.painted import Painted

BLOCKS = " ▁▂▃▄▅▆▇█"
CURSOR_STYLE = "bold $warning"
AXIS_ROWS = 2  # the line of the axis, and its labels


@dataclass(frozen=True)
class ChartContent:
    """`ordered` are the lengths of all sequences, ascending; `options` the lengths to choose from, ascending. `note` is
    written beside the line at `picked`."""

    ordered: Sequence[int]
    options: Sequence[int]
    picked: int
    note: str = ""


class LengthChart(Painted):
    """Draws how many rows have each length. The axis is logarithmic, as the lengths to choose from are."""

    DEFAULT_CSS = """
    LengthChart { height: 1fr; }
    """

    def __init__(self) -> None:
        super().__init__(id="chart")
        self._content: ChartContent | None = None

    def show(self, content: ChartContent | None) -> None:
        self._content = content
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        content = self._content
        rows = list(draw_chart(content, width, height)) if content and content.ordered else []
        return to_strips(self, rows, width, height)


def draw_chart(content: ChartContent, width: int, height: int) -> Iterator[Content]:
    """Draws the chart in `height` rows of `width` cells: the note at the cursor, the columns, the axis, its labels."""
    edges = find_edges(content, width)
    cursor = min(width - 1, max(0, bisect_left(edges, content.picked)))
    yield _draw_note(content, cursor, width)
    rows = height - 1 - AXIS_ROWS
    eighths = [max(1, round(share * rows * 8)) if share else 0 for share in _compute_shares(content.ordered, edges)]
    for row in reversed(range(rows)):
        cells = "".join(BLOCKS[max(0, min(8, level - 8 * row))] for level in eighths)
        beyond = cells[cursor + 1 :]
        yield line((cells[:cursor], "$primary"), ("│", CURSOR_STYLE), (beyond, "$warning"))
    yield from _draw_axis(content, edges, cursor, width)


def find_edges(content: ChartContent, columns: int) -> list[int]:
    """Finds the first length of each column, and the length after the last one. Neighbours can have the same."""
    low = max(1, min(content.ordered[0], content.options[0]))
    high = max(content.ordered[-1], content.options[-1]) + 1
    return [round(low * (high / low) ** (column / columns)) for column in range(columns)] + [high]


def _compute_shares(ordered: Sequence[int], edges: Sequence[int]) -> list[float]:
    """Computes the height of each column as a share of the highest one: its rows divided by its width on the axis, so
    that columns with two lengths are not higher than those with one. Columns within one length are equal."""
    heights: list[float] = []
    for low, edge in pairwise(edges):
        high = max(edge, low + 1)
        rows = bisect_left(ordered, high) - bisect_left(ordered, low)
        heights.append(rows / log(high / low))
    return [height / max(heights) for height in heights]


def _draw_note(content: ChartContent, cursor: int, width: int) -> Content:
    text = f" {content.picked:,}"
    note = f"  {content.note}" if content.note else ""
    if cursor + len(text) + len(note) < width:
        return line(" " * cursor, ("╷", CURSOR_STYLE), (text, CURSOR_STYLE), (note, MUTED))
    before = f"{content.note}  " if content.note and len(content.note) + len(text) + 2 < cursor else ""
    room = max(0, cursor - len(before) - len(text))
    return line(" " * room, (before, MUTED), (f"{content.picked:,} ", CURSOR_STYLE), ("╷", CURSOR_STYLE))


def _draw_axis(content: ChartContent, edges: Sequence[int], cursor: int, width: int) -> Iterator[Content]:
    """Draws the line of the axis with a tick for each length to choose from, and the labels that have room."""
    ticks, labels = ["─"] * width, [" "] * width
    columns = {length: min(width - 1, bisect_left(edges, length)) for length in content.options}
    for column in columns.values():
        ticks[column] = "┴"
    ticks[cursor] = "┻"
    usual = [length for length in content.options if not length & (length - 1)]
    for length in (content.picked, content.options[-1], *usual, *content.options):
        text = f"{length:,}"
        start = max(0, min(columns.get(length, cursor) - len(text) // 2, width - len(text)))
        if not "".join(labels[max(0, start - 1) : start + len(text) + 1]).strip():
            labels[start : start + len(text)] = text
    yield line(("".join(ticks[:cursor]), MUTED), (ticks[cursor], CURSOR_STYLE), ("".join(ticks[cursor + 1 :]), MUTED))
    yield line(("".join(labels), MUTED))
