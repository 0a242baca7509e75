"""The prompt at the bottom of the data screen, for a search, a row number or a max_seq_length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Input

from codex_tui.data.view import DataView
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.heading import Heading
from codex_tui.ui.kit.line_input import LineInput

Question = Literal["search", "go", "limit"]
LABELS: dict[Question, str] = {"search": "Search: ", "go": "Go to row: ", "limit": "Try max_seq_length: "}


class PromptBar(Horizontal):
    """Asks one question at a time, and changes the view according to the answer.

    `kind` is the open question, or "". `on_close` is called when the bar closes, to move the focus.
    """

    DEFAULT_CSS = """
    PromptBar { height: 1; display: none; dock: bottom; margin-bottom: 1; padding: 0 1; }
    PromptBar Input, PromptBar Input:focus {
        width: 1fr; padding: 0; background-tint: $primary 20%;
    }
    """

    def __init__(self, on_close: Callable[[], None]) -> None:
        super().__init__()
        self.kind: Question | Literal[""] = ""
        self._view: DataView | None = None
        self._on_close = on_close

    def compose(self) -> ComposeResult:
        yield Heading()
        yield LineInput()

    def open(self, kind: Question, view: DataView) -> None:
        """Asks the question `kind` about `view`. Does not ask for a length if the rows have no profile."""
        if kind == "limit" and not view.target.profile:
            return
        self.kind, self._view = kind, view
        self.display = True
        label = self.query_one(Heading)
        label.styles.width = len(LABELS[kind])
        label.show(line((LABELS[kind], MUTED)), Content(""))
        field = self.query_one(Input)
        field.value = view.rows.needle if kind == "search" else ""
        field.select_all()
        field.focus()

    def cancel(self) -> None:
        """Closes the bar without an answer. Cancelling a search shows all rows again."""
        if self.kind == "search" and self._view:
            self._view.rows.search("")
        self._close()

    def _close(self) -> None:
        self.kind = ""
        self.display = False
        self._on_close()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Searches while a person types."""
        event.stop()
        if self._view and self.kind == "search" and event.value != self._view.rows.needle:
            self._view.rows.search(event.value)

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        kind, view, text = self.kind, self._view, event.value.strip().replace(",", "")
        if view is None:
            return
        if kind != "search" and not text.isdecimal():
            self.app.bell()
            return
        self._close()
        if kind == "go":
            row = int(text[:12]) - 1
            if view.rows.listed and row not in view.rows.listed:
                view.rows.search("")
                view.rows.filter("all")
            await view.rows.go_to(row)
        elif kind == "limit":
            await view.set_limit(int(text[:7]))
