"""A widget that paints its lines itself and sends only the cells that changed: bytes over SSH are a budget."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

NEAR = 6
"""Changed cells this near to each other are sent as one span: moving the cursor costs about as much."""


class Painted(Widget):
    """Subclasses override `paint`, and call `repaint` after each change."""

    def __init__(self, *, name: str | None = None, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._lines: list[Strip] = []
        self._painted_for: tuple[int, int] | None = None

    def paint(self, width: int, height: int) -> list[Strip]:
        """The lines of the content. Short lines and missing lines are filled with blanks; the rest is cut."""
        raise NotImplementedError

    def repaint(self) -> None:
        """Paints again, and refreshes the spans that differ from the screen."""
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
    """Where two lines differ, as [start, end) in cells; ones that lie near each other are joined."""
    before, after = _cells(old), _cells(new)
    spans: list[tuple[int, int]] = []
    for x in range(max(len(before), len(after))):
        if x < len(before) and x < len(after) and before[x] == after[x]:
            continue
        if spans and x - spans[-1][1] <= NEAR:
            spans[-1] = (spans[-1][0], x + 1)
        else:
            spans.append((x, x + 1))
    return spans


def _cells(line: Strip) -> list[tuple[str, Style | None]]:
    """A cell each: its character and style. Both halves of a wide character carry it, so they change together."""
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
    """A line from texts and their styles."""
    return Strip([Segment(text, style) for text, style in parts if text])
