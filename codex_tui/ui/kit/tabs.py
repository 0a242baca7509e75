"""A row with the names of the panes, for a screen that shows one pane at a time."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from codex_tui.ui.kit.drawing import MUTED, line, to_strips
from codex_tui.ui.kit.painted import Painted


class TabStrip(Painted):
    """Shows the number and the name of each pane. The current one is bold, underlined and coloured."""

    DEFAULT_CSS = """
    TabStrip { height: 1; padding: 0 1; display: none; }
    """

    class Picked(Message):
        """Sent when a person clicks the name of `pane`."""

        def __init__(self, pane: str) -> None:
            super().__init__()
            self.pane = pane

    def __init__(self, panes: Sequence[tuple[str, str]]) -> None:
        super().__init__(id="tabs")
        self._panes = tuple(panes)
        self._current = panes[0][0]

    def show(self, current: str) -> None:
        self._current = current
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        parts: list[Content] = []
        for number, (pane, name) in enumerate(self._panes, 1):
            style = "bold underline $primary" if pane == self._current else MUTED
            parts.append(line((f"{number} {name}", style)))
        return to_strips(self, [Content("   ").join(parts)], width, height)

    def on_click(self, event: events.Click) -> None:
        x = event.x - self.styles.padding.left
        for number, (pane, name) in enumerate(self._panes, 1):
            width = len(f"{number} {name}")
            if 0 <= x < width:
                self.post_message(self.Picked(pane))
            x -= width + 3
