"""A list to pick from with the keyboard: profiles, runs. Only changed cells are sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from codex_tui.ui.kit.drawing import MUTED, line, thumb, to_strips
from codex_tui.ui.kit.painted import Painted

MARGIN = 3  # columns of a list that its rows leave free: the mark before them and a space after
Row = Callable[[int], list[Content]]  # the lines of an entry, for a width


class Choices(Painted, can_focus=True):
    """Entries by key, each of `lines` lines; at the right edge where one is among them, unless all are in sight. The
    pick stays on its key when the entries change."""

    DEFAULT_CSS = """
    Choices { height: 1fr; width: 1fr; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False),
        Binding("down,j", "move(1)", "Down", show=False),
        Binding("pageup", "move(-10)", "Page up", show=False),
        Binding("pagedown", "move(10)", "Page down", show=False),
        Binding("home", "move(-1000000)", "First", show=False),
        Binding("end,G", "move(1000000)", "Last", show=False),
        Binding("enter", "choose", "Choose", show=False),
    ]

    class Moved(Message):
        """Another row is picked out."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, Choices.Moved)

    class Chosen(Message):
        """Enter, or a click on the picked row."""

    def __init__(self, id: str | None = None, lines: int = 1) -> None:
        super().__init__(id=id)
        self._lines_each = lines
        self._keys: list[str] = []
        self._rows: list[Row] = []
        self._index = 0
        self._top = 0

    @property
    def index(self) -> int | None:
        return self._index if self._keys else None

    def set_rows(self, rows: Sequence[tuple[str, Row]], pick: str | None = None) -> None:
        """`rows` are (key, row); `pick` is the key to stand on, else where it stood."""
        wanted = pick or (self._keys[self._index] if self._keys else None)
        self._keys = [key for key, _ in rows]
        self._rows = [row for _, row in rows]
        self._index = self._keys.index(wanted) if wanted in self._keys else 0
        self.repaint()
        self.post_message(self.Moved())

    def paint(self, width: int, height: int) -> list[Strip]:
        fit = max(1, height // self._lines_each)
        self._top = max(0, min(self._top, self._index, len(self._rows) - fit), self._index - fit + 1)
        edge = thumb(self._top, fit, len(self._rows), fit * self._lines_each)
        inner = width - bool(edge)
        shown: list[Content] = []
        for position, row in enumerate(self._rows[self._top : self._top + fit], self._top):
            drawn = [*row(width - MARGIN), *[Content("")] * self._lines_each][: self._lines_each]
            shown += self._marked(drawn, inner) if position == self._index else [line("  ", text) for text in drawn]
        if edge:
            shown = [line(_padded(row, inner), ("┃", MUTED) if y in edge else " ") for y, row in enumerate(shown)]
        return to_strips(self, shown, width, height)

    def _marked(self, drawn: list[Content], width: int) -> list[Content]:
        style = "bold on $panel" if self.has_focus else "on $panel"
        return [_padded(line(("▌ ", "$primary"), text), width).stylize(style) for text in drawn]

    def action_move(self, rows: int) -> None:
        self._pick(self._index + rows)

    def action_choose(self) -> None:
        if self._keys:
            self.post_message(self.Chosen())

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()

    def on_click(self, event: events.Click) -> None:
        position = self._top + event.y // self._lines_each
        if position >= len(self._rows):
            return
        if position == self._index:
            self.action_choose()
        self._pick(position)

    def on_mouse_scroll_down(self) -> None:
        self.action_move(1)

    def on_mouse_scroll_up(self) -> None:
        self.action_move(-1)

    def _pick(self, index: int) -> None:
        index = max(0, min(index, len(self._keys) - 1))
        if self._keys and index != self._index:
            self._index = index
            self.repaint()
            self.post_message(self.Moved())


def _padded(row: Content, width: int) -> Content:
    return row.pad_right(max(0, width - row.cell_length))
