"""A list of any number of rows: only those in sight are asked for, so that it scrolls at once anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from codex_tui.ui.kit.drawing import MUTED, line, thumb, to_strips
from codex_tui.ui.kit.painted import Painted

DrawRow = Callable[[int], Content]  # the row at a place


class RowList(Painted, can_focus=True):
    """Rows by their place in the list; at the right edge where one is among them.

    `moved` is told at once where one goes: a message would come after a key that was pressed meanwhile.
    """

    DEFAULT_CSS = """
    RowList { height: 1fr; width: 1fr; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Row above", show=False),
        Binding("down,j", "move(1)", "Row below", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+d,space", "page(1)", "Page down", show=False),
        Binding("home", "edge(-1)", "First row", show=False),
        Binding("end,G", "edge(1)", "Last row", show=False),
        Binding("enter", "choose", "Read the row", show=False),
    ]

    class Chosen(Message):
        """Enter, or a click on the picked row."""

    def __init__(self, draw: DrawRow, moved: Callable[[int], None], id: str | None = None) -> None:
        super().__init__(id=id)
        self._draw, self._moved = draw, moved
        self._count = 0
        self._place = 0
        self._top = 0
        self._empty: list[Content] = []

    @property
    def count(self) -> int:
        return self._count

    def show(self, count: int, place: int, empty: list[Content]) -> None:
        """`count` rows from now on, standing on `place`; `empty` is said where there are none."""
        self._count, self._empty = count, empty
        self._place = max(0, min(place, count - 1))
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        if not self._count:
            rows = [row for text in self._empty for row in text.wrap(max(1, width - 2))]
            return to_strips(self, [line(" ", row) for row in rows], width, height)
        self._top = max(0, min(self._top, self._place, self._count - height), self._place - height + 1)
        edge = thumb(self._top, height, self._count, height)
        shown: list[Content] = []
        for place in range(self._top, min(self._count, self._top + height)):
            row = self._draw(place)
            row = row.truncate(width - 3, ellipsis=True).pad_right(max(0, width - 3 - row.cell_length))
            if place == self._place:
                style = "bold on $panel" if self.has_focus else "on $panel"
                row = line(("▌ ", "$primary"), row).stylize(style)
            else:
                row = line("  ", row)
            shown.append(line(row, ("┃", MUTED) if place - self._top in edge else " "))
        return to_strips(self, shown, width, height)

    def action_move(self, rows: int) -> None:
        self.go(self._place + rows)

    def action_page(self, pages: int) -> None:
        self.go(self._place + pages * max(1, self.content_size.height - 1))

    def action_edge(self, side: int) -> None:
        self.go(0 if side < 0 else self._count - 1)

    def action_choose(self) -> None:
        if self._count:
            self.post_message(self.Chosen())

    def go(self, place: int) -> None:
        """Stands on `place`, or the nearest there is."""
        place = max(0, min(place, self._count - 1))
        if self._count and place != self._place:
            self._place = place
            self.repaint()
            self._moved(place)

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        if at is None or not self._count:
            return
        if at.x == self.content_size.width - 1 and self._count > self.content_size.height:
            self.go(at.y * (self._count - 1) // max(1, self.content_size.height - 1))  # the edge stands for all rows
            return
        place = self._top + at.y
        if place == self._place:
            self.action_choose()
        elif place < self._count:
            self.go(place)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)
