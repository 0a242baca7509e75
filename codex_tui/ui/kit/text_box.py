"""A field of several lines of text."""

from __future__ import annotations

from textual import events
from textual.widgets import TextArea

from codex_tui.base.text import clean_text


class TextBox(TextArea):
    """A field of several lines that grows with its text."""

    DEFAULT_CSS = """
    TextBox, TextBox:focus {
        height: auto; min-height: 1; max-height: 8; border: none; padding: 0 1; background: $panel;
    }
    """

    def __init__(self, text: str = "", *, placeholder: str = "", id: str | None = None) -> None:
        super().__init__(text, placeholder=placeholder, highlight_cursor_line=False, id=id)
        self.cursor_blink = False

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        if result := self._replace_via_keyboard(clean_text(event.text), *self.selection):
            self.move_cursor(result.end_location)
