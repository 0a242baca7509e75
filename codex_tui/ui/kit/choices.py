"""A list of entries to choose from: profiles, runs or remedies. It sends only the cells that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from codex_tui.ui.kit.drawing import MUTED, find_thumb, line, to_strips
from codex_tui.ui.kit.scrolling import PickList, bind_scroll_keys, pad

MARGIN = 3  # columns that a row cannot use: two for the mark before it, and a space after it
PAGE_ENTRIES = 10  # entries that a page key moves
DrawEntry = Callable[[int], list[Content]]  # draws the lines of an entry for a width in cells


class Choices(PickList):
    """A list whose entries have a key and `lines` lines each. The right edge shows which part of the list is visible.

    When the entries change, the entry with the same key stays picked.
    """

    WHEEL_ROWS = 1
    BINDINGS: ClassVar[list[BindingType]] = [
        *bind_scroll_keys("Up, Down, Page up, Page down, First, Last", "pageup", "pagedown"),
        Binding("enter", "choose", "Choose", show=False),
    ]

    class Moved(Message):
        """Sent when another entry is picked."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Choices.Moved)

    class Chosen(Message):
        """Sent on Enter, and on a click on the picked entry."""

    def __init__(self, id: str | None = None, lines: int = 1) -> None:
        super().__init__(id)
        self._lines_each = lines
        self._keys: list[str] = []
        self._rows: list[DrawEntry] = []

    @property
    def index(self) -> int | None:
        """The number of the picked entry, or None if the list is empty."""
        return self._index if self._keys else None

    def set_rows(self, rows: Sequence[tuple[str, DrawEntry]], pick: str | None = None) -> None:
        """Replaces the entries by `rows`, pairs of a key and a function that draws the entry.

        `pick` is the key of the entry to pick. By default the picked entry stays picked, or the first one is.
        """
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
        lines: list[Content] = []
        for position, row in enumerate(self._rows[self._top : self._top + fit], self._top):
            entry = [*row(width - MARGIN), *[Content("")] * self._lines_each][: self._lines_each]
            lines += [self._mark(text, position, inner) for text in entry]
        if edge:
            lines = [line(pad(row, inner), ("┃", MUTED) if y in edge else " ") for y, row in enumerate(lines)]
        return to_strips(self, lines, width, height)

    def action_choose(self) -> None:
        if self._keys:
            self.post_message(self.Chosen())

    def action_page(self, pages: int) -> None:
        self.action_move(pages * PAGE_ENTRIES)

    def entry_at(self, y: int) -> int:
        return self._top + y // self._lines_each

    def announce_pick(self) -> None:
        self.post_message(self.Moved())
