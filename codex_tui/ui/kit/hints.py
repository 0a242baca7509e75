"""The last row of every screen: the keys that work now, and their actions."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.keys import _character_to_key
from textual.strip import Strip

from codex_tui.ui.kit.drawing import ACCENT, MUTED, fit_parts, line, spread, to_strips
from codex_tui.ui.kit.painted import Painted

Hint = tuple[str, str]  # a key and the name of its action
ALWAYS: tuple[Hint, ...] = (("?", "help"), ("q", "quit"))
TYPING: tuple[Hint, ...] = (("ctrl+q", "quit"),)  # while letters are typed as text


KEY_NAMES = {
    "Esc": "escape", "Enter": "enter", "Tab": "tab", "Bksp": "backspace", "Del": "delete", "Space": "space",
    "←": "left", "→": "right", "↑": "up", "↓": "down", "PgUp": "pageup", "PgDn": "pagedown",
    "Home": "home", "End": "end",
}  # fmt: skip


class HintBar(Painted):
    """Shows the hints that fit. The first hints have precedence. `always` (help and quit) stays at the right.

    A click on a hint presses its key. If it has several keys, a click on one of them presses that one, and a click on
    the name of the action presses the last one.
    """

    DEFAULT_CSS = """
    HintBar { height: 1; dock: bottom; padding: 0 1; background: $surface; }
    """

    def __init__(self, hints: Sequence[Hint] = (), always: Sequence[Hint] = ALWAYS) -> None:
        super().__init__(id="hints")
        self._hints = tuple(hints)
        self._always = tuple(always)
        self._shown: Content = Content("")

    @property
    def keys(self) -> list[str]:
        """The keys of all current hints, including those for which the row has no room."""
        return [key for key, _ in (*self._hints, *self._always)]

    @property
    def quit_key(self) -> str:
        """The key that quits the app now."""
        return next((key for key, action in self._always if action == "quit"), "ctrl+q")

    def show(self, hints: Sequence[Hint], always: Sequence[Hint] = ALWAYS) -> None:
        if (tuple(hints), tuple(always)) != (self._hints, self._always):
            self._hints, self._always = tuple(hints), tuple(always)
            self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        right = fit_parts([_draw_hint(*hint) for hint in self._always], width, "  ")
        left = fit_parts([_draw_hint(*hint) for hint in self._hints], max(0, width - right.cell_length - 2), "  ")
        self._shown = spread(left, right, width)
        return to_strips(self, [self._shown], width, height)

    def on_click(self, event: events.Click) -> None:
        if (offset := event.get_content_offset(self)) is None:
            return
        for hint in (*self._hints, *self._always):
            start = self._find(hint)
            if 0 <= start <= offset.x < start + _draw_hint(*hint).cell_length:
                self.app.simulate_key(find_key(hint[0], offset.x - start))
                return

    def _find(self, hint: Hint) -> int:
        """The column of a hint; -1 if the row has no room for it."""
        gap = "  "  # between two hints
        row, text = f"{gap}{self._shown.plain}{gap}", f"{gap}{_draw_hint(*hint).plain}{gap}"
        return row.find(text)


def find_key(shown: str, column: int) -> str:
    """The name of the key that a click on `column` of a hint presses. `shown` are its keys, such as "← →" or "1-5"."""
    keys = shown.split(" ")
    if len(shown) == 3 and shown[1] == "-":
        keys = [shown[0], shown[2]]
    key, end = keys[-1], -1
    for candidate in keys:
        end += len(candidate) + 1
        if column <= end:
            key = candidate
            break
    return KEY_NAMES.get(key) or (key if len(key) > 1 else _character_to_key(key))


def _draw_hint(key: str, action: str) -> Content:
    return line((key, f"bold {ACCENT}"), (f" {action}", MUTED))
