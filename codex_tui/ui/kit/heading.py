"""One row above a text: the position in the text on the left, and the next keys on the right."""

from __future__ import annotations

from textual.content import Content
from textual.strip import Strip

from codex_tui.ui.kit.drawing import spread, to_strips
from codex_tui.ui.kit.painted import Painted


class Heading(Painted):
    DEFAULT_CSS = """
    Heading { height: 1; }
    """

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self._left = self._right = Content("")

    def show(self, left: Content, right: Content) -> None:
        self._left, self._right = left, right
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        return to_strips(self, [spread(self._left, self._right, width)], width, height)
