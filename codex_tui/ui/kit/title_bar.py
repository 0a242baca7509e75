"""The first row of all screens except the cockpit: the screen's title and purpose, and the app's name."""

from __future__ import annotations

from textual.content import Content
from textual.strip import Strip

from codex_tui.ui.kit.drawing import MUTED, line, spread, to_strips
from codex_tui.ui.kit.painted import Painted


class TitleBar(Painted):
    DEFAULT_CSS = """
    TitleBar { height: 1; padding: 0 1; background: $surface; }
    """

    def __init__(self, title: str, purpose: str) -> None:
        super().__init__()
        self._title, self._purpose = title, line((purpose, MUTED))

    def show(self, title: str, purpose: Content) -> None:
        """`title` must have been through `clean`."""
        self._title, self._purpose = title, purpose
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        left = line((self._title, "bold"), "   ", self._purpose)
        return to_strips(self, [spread(left, line(("Codex TUI", "bold $primary")), width)], width, height)
