"""The table of the lengths, below its headings. One length is picked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.strip import Strip

from codex_tui.ui.kit.drawing import line, to_strips
from codex_tui.ui.kit.scrolling import PickList, bind_scroll_keys


class LengthList(PickList):
    """Calls `moved` with the number of the length that a person picks."""

    WHEEL_ROWS = 1
    BINDINGS: ClassVar[list[BindingType]] = [
        *bind_scroll_keys("Shorter, Longer, Page up, Page down, The shortest, The longest"),
        Binding("left,h,left_square_bracket", "move(-1)", "Shorter", show=False),
        Binding("right,l,right_square_bracket", "move(1)", "Longer", show=False),
    ]

    def __init__(self, moved: Callable[[int], None]) -> None:
        super().__init__("lengths")
        self._moved = moved
        self._headings: Sequence[Content] = ()
        self._rows: Sequence[Content] = ()

    def show(self, headings: Sequence[Content], rows: Sequence[Content], index: int) -> None:
        self._headings, self._rows, self._index, self.count = headings, rows, index, len(rows)
        self.repaint()

    @property
    def lines(self) -> int:
        """The lines that all lengths need, with the headings."""
        return len(self._headings) + len(self._rows)

    def paint(self, width: int, height: int) -> list[Strip]:
        room = max(1, height - len(self._headings))
        self._keep_in_sight(self._index, self._index, self.count, room)
        window = range(self._top, min(self.count, self._top + room))
        rows = [self._mark(self._rows[index], index, width) for index in window]
        return to_strips(self, [*(line("  ", heading) for heading in self._headings), *rows], width, height)

    def entry_at(self, y: int) -> int | None:
        return self._top + y - len(self._headings) if y >= len(self._headings) else None

    def announce_pick(self) -> None:
        self._moved(self._index)

    def action_choose(self) -> None:
        """Does nothing: only Enter uses the length, never a click."""
