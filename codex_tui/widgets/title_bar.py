"""The first row of the screens that are not a run: the app's name, and what one does here."""

from __future__ import annotations

from textual.strip import Strip

from codex_tui.widgets.ink import MUTED, line, spread, to_strips
from codex_tui.widgets.painted import Painted


class TitleBar(Painted):
    DEFAULT_CSS = """
    TitleBar { height: 1; padding: 0 1; background: $surface; }
    """

    def __init__(self, title: str, purpose: str) -> None:
        super().__init__()
        self._title, self._purpose = title, purpose

    def paint(self, width: int, height: int) -> list[Strip]:
        left = line((self._title, "bold"), (f"   {self._purpose}", MUTED))
        return to_strips(self, [spread(left, line(("Codex TUI", "bold $primary")), width)], width, height)
