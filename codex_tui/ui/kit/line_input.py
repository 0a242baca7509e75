"""A field of one line of text."""

from __future__ import annotations

from textual import events
from textual.widgets import Input

from codex_tui.base.text import clean


class LineInput(Input):
    """A field of one line. The lines of a pasted text are joined by spaces; Textual would keep only the first one."""

    DEFAULT_CSS = """
    LineInput, LineInput:focus { height: 1; border: none; padding: 0 1; background: $panel; }
    """

    def __init__(
        self, value: str = "", *, placeholder: str = "", select_on_focus: bool = False, id: str | None = None
    ) -> None:
        super().__init__(value, placeholder=placeholder, select_on_focus=select_on_focus, id=id)
        self.cursor_blink = False

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        self.paste(event.text)

    def paste(self, text: str) -> None:
        """Inserts a pasted `text` in the place of the selection."""
        lines = text.splitlines()
        if len(lines) > 1:
            lines = [line.strip() for line in lines if line.strip()]
        self.replace(clean(" ".join(lines)), *sorted(self.selection))
