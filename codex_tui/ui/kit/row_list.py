"""A list of any number of rows. It draws only the visible rows, so it scrolls fast through millions of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from codex_tui.ui.kit.drawing import MUTED, find_thumb, line, to_strips
from codex_tui.ui.kit.scrolling import PickList, bind_scroll_keys, pad

DrawRow = Callable[[int], Content]  # draws the row at a place in the list


class RowList(PickList):
    """A list that draws each row by its place. The right edge shows which part of the list is visible.

    The list calls `moved` with the new place. It does not post a message, because the next key could arrive earlier.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *bind_scroll_keys("Row above, Row below, Page up, Page down, First row, Last row"),
        Binding("enter", "choose", "Read the row", show=False),
    ]

    class Chosen(Message):
        """Sent on Enter, and on a click on the picked row."""

    def __init__(self, draw: DrawRow, moved: Callable[[int], None], id: str | None = None) -> None:
        super().__init__(id)
        self._draw, self._moved = draw, moved
        self._empty: list[Content] = []

    def show(self, count: int, place: int, empty: list[Content]) -> None:
        """Shows `count` rows and picks the one at `place`. Shows `empty` if there are no rows."""
        self.count, self._empty = count, empty
        self._index = max(0, min(place, count - 1))
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        if not self.count:
            rows = [row for text in self._empty for row in text.wrap(max(1, width - 2))]
            return to_strips(self, [line(" ", row) for row in rows], width, height)
        self._keep_in_sight(self._index, self._index, self.count, height)
        edge = find_thumb(self._top, height, self.count, height)
        lines: list[Content] = []
        for place in range(self._top, min(self.count, self._top + height)):
            row = self._draw(place)
            row = pad(row.truncate(width - 3, ellipsis=True), width - 3)
            row = self._mark(row, place, width - 1)
            lines.append(line(row, ("┃", MUTED) if place - self._top in edge else " "))
        return to_strips(self, lines, width, height)

    def action_choose(self) -> None:
        if self.count:
            self.post_message(self.Chosen())

    def announce_pick(self) -> None:
        self._moved(self._index)

    def on_click(self, event: events.Click) -> None:
        offset, size = event.get_content_offset(self), self.content_size
        if offset is not None and offset.x == size.width - 1 and self.count > size.height:  # a click on the scroll bar
            event.prevent_default()
            self.pick(offset.y * (self.count - 1) // max(1, size.height - 1))
