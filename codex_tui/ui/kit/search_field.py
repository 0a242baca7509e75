"""The field below a text in which a person types what to search for."""

from __future__ import annotations

from collections.abc import Callable

from textual.widgets import Input

from codex_tui.ui.kit.line_input import LineInput
from codex_tui.ui.kit.text_search import SearchableText


class SearchField(LineInput):
    """Is shown while a person types, and searches `text` meanwhile. `changed` is called when the search begins, changes
    or ends."""

    def __init__(self, text: SearchableText, placeholder: str, changed: Callable[[], None]) -> None:
        super().__init__(placeholder=placeholder, id="search")
        self._text, self._search_changed = text, changed
        self.is_open = self.display = False

    def open(self) -> None:
        self.is_open = self.display = True
        self.value = self._text.needle
        self.focus()
        self._search_changed()

    def end_search(self, needle: str) -> None:
        """Close the field. The matches of `needle` stay highlighted."""
        self.is_open = self.display = False
        if needle != self._text.needle:
            self._text.search(needle)
        self._text.focus()
        self._search_changed()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.is_open:
            self._text.search(event.value)
            self._search_changed()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.end_search(event.value)
