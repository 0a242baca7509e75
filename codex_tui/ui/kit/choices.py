"""A list to pick from: profiles, runs, remedies. Only changed cells are sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from codex_tui.ui.kit.drawing import MUTED, find_thumb, line, to_strips
from codex_tui.ui.kit.scrolling import PickList, bind_scroll_keys, pad

MARGIN = 3  # columns beside a row: two for the mark before it and a space after it
PAGE = 10  # entries
Row = Callable[[int], list[Content]]  # draws the lines of an entry for a width


class Choices(PickList):
    """Entries with a key, each of `lines` lines. The right edge shows which part of the list is in sight. When the
    entries change, the one with the same key stays picked."""

    WHEEL_ROWS = 1
    BINDINGS: ClassVar[list[BindingType]] = [
        *bind_scroll_keys("Up, Down, Page up, Page down, First, Last", "pageup", "pagedown"),
        Binding("enter", "choose", "Choose", show=False),
    ]

    class Moved(Message):
        """Another entry is picked."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Choices.Moved)

    class Chosen(Message):
        """Enter, or a click on the picked entry."""

    def __init__(self, id: str | None = None, lines: int = 1) -> None:
        super().__init__(id)
        self._lines_each = lines
        self._keys: list[str] = []
        self._rows: list[Row] = []

    @property
    def index(self) -> int | None:
        return self._index if self._keys else None

    def set_rows(self, rows: Sequence[tuple[str, Row]], pick: str | None = None) -> None:
        """`rows` are (key, row); `pick` is the key of the entry to pick, by default the one that is picked."""
        wanted = pick or (self._keys[self._index] if self._keys else None)
        self._keys = [key for key, _ in rows]
        self._rows = [row for _, row in rows]
        self.count = len(rows)
        self._index = self._keys.index(wanted) if wanted in self._keys else 0
        self.repaint()
        self.post_message(self.Moved())

    def paint(self, width: int, height: int) -> list[Strip]:
        fit = max(1, height // self._lines_each)
        self._keep_in_sight(self._index, self._index, self.count, fit)
        edge = find_thumb(self._top, fit, self.count, fit * self._lines_each)
        inner = width - bool(edge)
        shown: list[Content] = []
        for position, row in enumerate(self._rows[self._top : self._top + fit], self._top):
            drawn = [*row(width - MARGIN), *[Content("")] * self._lines_each][: self._lines_each]
            shown += [self._mark(text, position, inner) for text in drawn]
        if edge:
            shown = [line(pad(row, inner), ("┃", MUTED) if y in edge else " ") for y, row in enumerate(shown)]
        return to_strips(self, shown, width, height)

    def action_choose(self) -> None:
        if self._keys:
            self.post_message(self.Chosen())

    def action_page(self, pages: int) -> None:
        self.action_move(pages * PAGE)

    def entry_at(self, y: int) -> int:
        return self._top + y // self._lines_each

    def announce_pick(self) -> None:
        self.post_message(self.Moved())
