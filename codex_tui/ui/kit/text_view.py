"""A scrollable text of many lines: log, samples, conversation. Only the rows in sight are wrapped into cells."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.strip import Strip

from codex_tui.base import bandwidth
from codex_tui.ui.kit.drawing import line, to_strips
from codex_tui.ui.kit.painted import Painted
from codex_tui.ui.messages import HintsChanged


class TextView(Painted, can_focus=True):
    """Shows paragraphs wrapped to its width. Stays at the end while it is there, if `follows`."""

    DEFAULT_CSS = """
    TextView { height: 1fr; width: 1fr; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll(-1)", "Up", show=False),
        Binding("down,j", "scroll(1)", "Down", show=False),
        Binding("pageup,ctrl+u", "page(-1)", "Page up", show=False),
        Binding("pagedown,ctrl+d,space", "page(1)", "Page down", show=False),
        Binding("home", "edge(-1)", "Start", show=False),
        Binding("end,G", "edge(1)", "End", show=False),
    ]

    def __init__(self, *, follows: bool = False, id: str | None = None) -> None:
        super().__init__(id=id)
        self._follows = follows
        self._at_end = follows
        self._top = 0
        self._paragraphs: list[Content] = []
        self._wrapped: list[list[Content]] = []  # rows of each paragraph, at `_width`
        self._width = 0

    @property
    def at_end(self) -> bool:
        return self._at_end

    @property
    def plain(self) -> str:
        return "\n".join(paragraph.plain for paragraph in self._paragraphs)

    def set_text(self, paragraphs: Iterable[Content], *, keep_place: bool = False) -> None:
        """Replaces the text. Paragraphs that stay are not wrapped again, so a growing last one is cheap."""
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

    def append(self, paragraphs: Iterable[Content], most: int) -> None:
        """Adds paragraphs at the end and forgets the oldest beyond `most`."""
        new = list(paragraphs)
        self._paragraphs += new
        if self._width:
            self._wrapped += [self._wrap(paragraph) for paragraph in new]
        excess = len(self._paragraphs) - most
        if excess > 0:
            del self._paragraphs[:excess]
            self._top -= sum(len(rows) for rows in self._wrapped[:excess])
            del self._wrapped[:excess]
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        if width != self._width:
            self._width = width
            self._wrapped = [self._wrap(paragraph) for paragraph in self._paragraphs]
        rows = [row for rows in self._wrapped for row in rows]
        last = max(0, len(rows) - height)
        self._top = self._following(last, height) if self._at_end else max(0, min(self._top, last))
        shown = rows[self._top : self._top + height]
        if self._top < last and shown:  # there is more below: said in the corner, without a scroll bar's cells
            below = line((f" ↓ {len(rows) - self._top - height} more ", "$text-muted on $panel"))
            room = max(0, width - below.cell_length)
            kept = shown[-1].truncate(room, ellipsis=False) if shown[-1].cell_length > room else shown[-1]
            shown[-1] = Content.assemble(kept, " " * (room - kept.cell_length), below)
        return to_strips(self, shown, width, height)

    def _following(self, last: int, height: int) -> int:
        """The top row where the end is in sight: the last possible one. Over a slow link the text leaps by half a page
        as it grows, since each scroll sends every row anew."""
        step = max(1, height // 2) if bandwidth.pace.low else 1
        if 0 <= self._top - last < step:
            return self._top
        return last + step - 1 if 0 < last - self._top <= height else last

    def action_scroll(self, rows: int) -> None:
        self._move(self._top + rows)

    def action_page(self, pages: int) -> None:
        self._move(self._top + pages * max(1, self.size.height - 1))

    def action_edge(self, side: int) -> None:
        self._move(0 if side < 0 else self._last_top())

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._move(self._top + 3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._move(self._top - 3)

    def _last_top(self) -> int:
        return max(0, sum(map(len, self._wrapped)) - self.size.height)

    def _move(self, top: int) -> None:
        self._top = max(0, min(top, self._last_top()))
        was, self._at_end = self._at_end, self._follows and self._top >= self._last_top()
        if was != self._at_end:
            self.post_message(HintsChanged())
        self.repaint()

    def _wrap(self, paragraph: Content) -> list[Content]:
        return paragraph.wrap(self._width) if paragraph and self._width else [paragraph]
