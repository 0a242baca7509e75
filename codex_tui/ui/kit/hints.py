"""The last row of every screen: the keys that work now, and their actions."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.strip import Strip

from codex_tui.ui.kit.drawing import ACCENT, MUTED, fit_parts, line, spread, to_strips
from codex_tui.ui.kit.painted import Painted

Hint = tuple[str, str]  # a key and the name of its action
ALWAYS: tuple[Hint, ...] = (("?", "help"), ("q", "quit"))
TYPING: tuple[Hint, ...] = (("ctrl+q", "quit"),)  # while letters are typed as text


class HintBar(Painted):
    """Shows the hints that fit. The first hints have precedence. `always` (help and quit) stays at the right."""

    DEFAULT_CSS = """
    HintBar { height: 1; dock: bottom; padding: 0 1; background: $surface; }
    """

    def __init__(self, hints: Sequence[Hint] = (), always: Sequence[Hint] = ALWAYS) -> None:
        super().__init__(id="hints")
        self._hints = tuple(hints)
        self._always = tuple(always)

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
        return to_strips(self, [spread(left, right, width)], width, height)


def _draw_hint(key: str, action: str) -> Content:
    return line((key, f"bold {ACCENT}"), (f" {action}", MUTED))
