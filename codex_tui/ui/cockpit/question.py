"""The field in which a person types a question, with the questions that were asked before."""

from __future__ import annotations

from textual import events
from textual.message import Message

from codex_tui.ui.kit.text_box import TextBox

NEW_LINE_KEYS = ("shift+enter", "ctrl+j", "alt+enter")  # many terminals send Enter for Shift+Enter; all know Ctrl+J


class Question(TextBox):
    """Enter sends the text. Up on the first line and Down on the last one show earlier and later questions."""

    DEFAULT_CSS = """
    Question, Question:focus { max-height: 40%; }
    """

    class Asked(Message):
        """Says that a person has sent `text`. The field keeps it until `take_text` is called."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__()
        self._asked: list[str] = []  # the questions of this session, the oldest first
        self._shown: int | None = None  # the index of the shown question; None for a new one
        self._draft = ""  # the new question, while an earlier one is shown

    def take_text(self) -> None:
        """Empties the field and keeps its text among the earlier questions."""
        if self.text.strip() and self._asked[-1:] != [self.text]:
            self._asked.append(self.text)
        self._shown, self._draft = None, ""
        self.clear()

    async def _on_key(self, event: events.Key) -> None:
        first = self.navigator.is_first_wrapped_line(self.cursor_location)
        last = self.navigator.is_last_wrapped_line(self.cursor_location)
        if event.key == "enter":
            self.post_message(self.Asked(self.text))
        elif event.key in NEW_LINE_KEYS:
            self._replace_via_keyboard("\n", *self.selection)
        elif event.key == "up" and first and self._asked:
            self._show_question(-1)
        elif event.key == "down" and last and self._shown is not None:
            self._show_question(1)
        else:
            return  # Textual calls the method of the base class next
        event.stop()
        event.prevent_default()

    def _show_question(self, step: int) -> None:
        if self._shown is None:
            self._draft = self.text
        place = max(0, (len(self._asked) if self._shown is None else self._shown) + step)
        self._shown = place if place < len(self._asked) else None
        self.load_text(self._draft if self._shown is None else self._asked[self._shown])
        self.move_cursor(self.document.end)
