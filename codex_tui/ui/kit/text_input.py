"""Fields for typed text: one line or several. Pasted text passes `clean_text` and loses none of its lines."""

from __future__ import annotations

from textual import events
from textual.widgets import Input, TextArea

from codex_tui.base.text import clean, clean_text


class LineInput(Input):
    """A field of one line. The lines of a pasted text are joined by spaces."""

    def __init__(self, value: str = "", *, placeholder: str = "", id: str | None = None) -> None:
        super().__init__(value, placeholder=placeholder, select_on_focus=False, id=id)
        self.cursor_blink = False

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        if text := join_lines(event.text):
            self.replace(text, *self.selection)


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


def join_lines(text: str) -> str:
    """Join the lines of `text` to one line. Blank lines and the spaces around each line are left out."""
    return clean(" ".join(filter(None, map(str.strip, text.splitlines()))))
