"""A text that scrolls: the log, samples or a conversation. Only the visible rows are painted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.strip import Strip

from codex_tui.base import bandwidth
from codex_tui.ui.kit.drawing import line, to_strips
from codex_tui.ui.kit.scrolling import Scrolling, bind_scroll_keys
from codex_tui.ui.messages import HintsChanged


class TextView(Scrolling):
    """Shows paragraphs, wrapped to the width of the widget.

    With `follows`, it stays at the end of a growing text until a person scrolls up.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*bind_scroll_keys("Up, Down, Page up, Page down, Start, End")]

    def __init__(self, *, follows: bool = False, id: str | None = None) -> None:
        super().__init__(id)
        self._follows = follows
        self._at_end = follows
        self._paragraphs: list[Content] = []
        self._wrapped: list[list[Content]] = []  # the rows of each paragraph, wrapped to `_width`
        self._width = 0

    @property
    def at_end(self) -> bool:
        """Whether the view follows the end of the text."""
        return self._at_end

    @property
    def plain(self) -> str:
        """The text without styles."""
        return "\n".join(paragraph.plain for paragraph in self._paragraphs)

    def set_text(self, paragraphs: Iterable[Content], *, keep_place: bool = False) -> None:
        """Replaces the text. Scrolls to the start, or to the end if the view follows, unless `keep_place` is set.

        Unchanged paragraphs at the start are not wrapped again, so a growing last paragraph costs little.
        """
        new = list(paragraphs)
        if self._width:
            same = 0
            while same < min(len(new), len(self._wrapped)) and new[same].is_same(self._paragraphs[same]):
                same += 1
            self._wrapped[same:] = [self._wrap(paragraph) for paragraph in new[same:]]
        self._paragraphs = new
        if not keep_place:
            self._top, self._at_end = 0, self._follows
        self.repaint()

    def append(self, paragraphs: Iterable[Content], max_paragraphs: int) -> None:
        """Adds paragraphs at the end, and removes the oldest ones beyond `max_paragraphs`."""
        new = list(paragraphs)
        self._paragraphs += new
        if self._width:
            self._wrapped += [self._wrap(paragraph) for paragraph in new]
        excess = len(self._paragraphs) - max_paragraphs
        if excess > 0:
            del self._paragraphs[:excess]
            self._top -= sum(len(rows) for rows in self._wrapped[:excess])
            del self._wrapped[:excess]
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        if width != self._width:
            self._width = width
            self._wrapped = [self._wrap(paragraph) for paragraph in self._paragraphs]
        rows = self._list_rows()
        last = max(0, len(rows) - height)
        self._top = self._find_following_top(last, height) if self._at_end else max(0, min(self._top, last))
        visible = rows[self._top : self._top + height]
        if self._top < last and visible:  # shows the number of rows below; a scroll bar would change more cells
            below = line((f" ↓ {len(rows) - self._top - height} more ", "$text-muted on $panel"))
            room = max(0, width - below.cell_length)
            start = visible[-1].truncate(room, ellipsis=False) if visible[-1].cell_length > room else visible[-1]
            visible[-1] = Content.assemble(start, " " * (room - start.cell_length), below)
        return to_strips(self, visible, width, height)

    def show_paragraph(self, index: int) -> None:
        """Scrolls just far enough to show the paragraph `index`."""
        first = sum(map(len, self._wrapped[:index]))
        self._show_rows(first, first + len(self._wrapped[index]) - 1)

    def _show_rows(self, first: int, last: int) -> None:
        """Scrolls just far enough to show the rows `first` to `last`; if they are too many, the first ones."""
        height = self.content_size.height
        self._keep_in_sight(first, min(last, first + height - 1), self._last_top() + self.size.height, height)
        self._at_end = self._follows and self._top >= self._last_top()
        self.post_message(HintsChanged())
        self.repaint()

    def _list_rows(self) -> list[Content]:
        """All rows, as they are painted."""
        return [row for rows in self._wrapped for row in rows]

    def _find_following_top(self, last: int, height: int) -> int:
        """Finds the top row that keeps the end visible. `last` is the largest possible top row.

        At low bandwidth the text scrolls by half a page at a time, because each scroll sends all rows again.
        """
        step = max(1, height // 2) if bandwidth.pace.low else 1
        if 0 <= self._top - last < step:
            return self._top
        return last + step - 1 if 0 < last - self._top <= height else last

    def _last_top(self) -> int:
        return max(0, sum(map(len, self._wrapped)) - self.size.height)

    def action_move(self, rows: int) -> None:
        self._top = max(0, min(self._top + rows, self._last_top()))
        was_at_end, self._at_end = self._at_end, self._follows and self._top >= self._last_top()
        if was_at_end != self._at_end:
            self.post_message(HintsChanged())
        self.repaint()

    def _wrap(self, paragraph: Content) -> list[Content]:
        return paragraph.wrap(self._width) if paragraph and self._width else [paragraph]
