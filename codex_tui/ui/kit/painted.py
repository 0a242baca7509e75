"""A widget that paints its own lines and sends only the cells that changed, to save bytes over SSH."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

MAX_GAP = 6
"""Changed cells with at most this many unchanged cells between them are sent as one span. Moving the cursor costs about
as many bytes."""


class Painted(Widget):
    """Subclasses override `paint`, and call `repaint` after each change of their content."""

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._lines: list[Strip] = []
        self._painted_for: tuple[int, int] | None = None

    def paint(self, width: int, height: int) -> list[Strip]:
        """Returns the lines of the content. `Painted` fills short and missing lines with blanks and cuts the others."""
        raise NotImplementedError

    def repaint(self) -> None:
        """Paints the content again, and refreshes only the spans that differ from the screen."""
        size = self.content_size
        if self._painted_for != size or not self.is_attached:
            self._painted_for = None
            self.refresh()
            return
        before, self._lines = self._lines, self._paint_lines(*size)
        regions = [
            Region(start, y, end - start, 1)
            for y, (old, new) in enumerate(zip(before, self._lines, strict=True))
            if old != new
            for start, end in changed_spans(old, new)
        ]
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        size = self.content_size
        if self._painted_for != size:
            self._painted_for, self._lines = size, self._paint_lines(*size)
        return self._lines[y] if y < len(self._lines) else Strip.blank(size.width, self.rich_style)

    def notify_style_update(self) -> None:
        self._painted_for = None
        super().notify_style_update()

    def _paint_lines(self, width: int, height: int) -> list[Strip]:
        if not (width and height):
            return []
        base = self.rich_style
        lines = [line.adjust_cell_length(width, base) for line in self.paint(width, height)[:height]]
        return lines + [Strip.blank(width, base)] * (height - len(lines))


def changed_spans(old: Strip, new: Strip) -> list[tuple[int, int]]:
    """Finds the spans in which two lines differ, as (start, end) in cells; `end` is not included. Joins close spans."""
    before, after = _cells(old), _cells(new)
    spans: list[tuple[int, int]] = []
    for x in range(max(len(before), len(after))):
        if x < len(before) and x < len(after) and before[x] == after[x]:
            continue
        if spans and x - spans[-1][1] <= MAX_GAP:
            spans[-1] = (spans[-1][0], x + 1)
        else:
            spans.append((x, x + 1))
    return spans


def _cells(line: Strip) -> list[tuple[str, Style | None]]:
    """Returns the character and the style of each cell. Both cells of a wide character are equal, so both change."""
    cells: list[tuple[str, Style | None]] = []
    for text, style, _ in line:
        for character in text:
            width = 1 if character.isascii() else cell_len(character)
            if width:
                cells += [(character, style)] * width
            elif cells:  # a combining mark belongs to the cell before it
                cells[-1] = (cells[-1][0] + character, cells[-1][1])
    return cells


def make_strip(*parts: tuple[str, Style]) -> Strip:
    """Makes a line from pairs of a text and its style."""
    return Strip([Segment(text, style) for text, style in parts if text])
