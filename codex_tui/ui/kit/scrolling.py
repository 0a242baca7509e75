"""The base of lists and texts: their scroll keys, the mouse wheel, and the window of visible rows."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding
from textual.content import Content

from codex_tui.ui.kit.drawing import line
from codex_tui.ui.kit.painted import Painted

END = 10**9  # more rows than any list has
MARK = "▌ "  # is drawn before the picked entry


def bind_scroll_keys(
    names: str, page_up: str = "pageup,ctrl+u", page_down: str = "pagedown,ctrl+d,space"
) -> list[Binding]:
    """Returns the key bindings of a list. `names` has the six names of the actions in the command palette, in the order
    of the keys, separated by ", "."""
    keys = ("up,k", "down,j", page_up, page_down, "home", "end,G")
    actions = ("move(-1)", "move(1)", "page(-1)", "page(1)", f"move(-{END})", f"move({END})")
    rows = zip(keys, actions, names.split(", "), strict=True)
    return [Binding(key, action, name, show=False) for key, action, name in rows]


class Scrolling(Painted, can_focus=True):
    """A widget that paints a window of its rows. Subclasses override `action_move`, and bind `bind_scroll_keys`."""

    DEFAULT_CSS = """
    Scrolling { height: 1fr; width: 1fr; }
    """
    WHEEL_ROWS: ClassVar[int] = 3

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._top = 0  # the first visible row

    def action_move(self, rows: int) -> None:
        """Moves down by `rows`, or up if `rows` is negative. Stops at the first and the last row."""
        raise NotImplementedError

    def action_page(self, pages: int) -> None:
        self.action_move(pages * max(1, self.content_size.height - 1))

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(self.WHEEL_ROWS)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-self.WHEEL_ROWS)

    def _keep_in_sight(self, first: int, last: int, count: int, height: int) -> None:
        """Scrolls just far enough to show the rows `first` to `last` of `count` rows in a window of `height` rows."""
        self._top = max(0, min(self._top, first, count - height), last - height + 1)


class PickList(Scrolling):
    """A list with one picked entry of `count` entries.

    Subclasses override `action_choose`, which handles Enter and a click on the picked entry, and `announce_pick`, which
    handles a new pick.
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id)
        self.count = 0
        self._index = 0

    def action_choose(self) -> None:
        raise NotImplementedError

    def announce_pick(self) -> None:
        raise NotImplementedError

    def entry_at(self, y: int) -> int | None:
        """Returns the number of the entry that is painted on the line `y`, or None if the line has no entry."""
        return self._top + y

    def action_move(self, rows: int) -> None:
        self.pick(self._index + rows)

    def pick(self, index: int) -> None:
        """Picks the entry `index`, or the nearest existing one."""
        index = max(0, min(index, self.count - 1))
        if self.count and index != self._index:
            self._index = index
            self.repaint()
            self.announce_pick()

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        index = None if offset is None else self.entry_at(offset.y)
        if index is None or not 0 <= index < self.count:
            return
        if index == self._index:
            self.action_choose()
        else:
            self.pick(index)

    def _mark(self, row: Content, index: int, width: int) -> Content:
        """Adds the mark before `row` if the entry `index` is picked."""
        if index != self._index:
            return line("  ", row)
        return highlight(line((MARK, "$primary"), row), width, self.has_focus)


def highlight(row: Content, width: int, focused: bool) -> Content:
    return pad(row, width).stylize("bold on $panel" if focused else "on $panel")


def pad(row: Content, width: int) -> Content:
    return row.pad_right(max(0, width - row.cell_length))
