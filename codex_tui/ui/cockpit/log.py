"""The log pane: the end of trainer.log."""

from __future__ import annotations

from pathlib import Path

from textual.content import Content

from codex_tui.base.text import clean
from codex_tui.runs.log_tail import LogTail
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.hints import Hint
from codex_tui.ui.kit.text_view import TextView

MAX_LINES = 5000
MAX_LINE_LENGTH = 4000


class LogPane(TextView):
    """Follows the end of the log until the user scrolls away from it."""

    def __init__(self, path: Path) -> None:
        super().__init__(follows=True, id="log")
        self._tail = LogTail(path)
        self._empty = True

    def hints(self) -> list[Hint]:
        return [("↑ ↓", "scroll")] if self.at_end else [("End", "follow")]

    def on_mount(self) -> None:
        self.set_text([line(("No output yet.", MUTED))])

    def poll(self) -> None:
        """Show the lines that the trainer has written since the last call."""
        lines = self._tail.poll()
        if not lines:
            return
        if self._empty:
            self._empty = False
            self.set_text([])
        self.append([Content(clean(text[:MAX_LINE_LENGTH])) for text in lines], MAX_LINES)
