"""A profile as a form: the list of fields, and a text line over the value that a person edits."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Input

from codex_tui.ui.editor.field_list import VALUE_AT, FieldList


class ValueInput(Input):
    """Up, down and Tab take the typed value and move on from there."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "done(0)", show=False),
        Binding("tab,down", "done(1)", show=False),
        Binding("shift+tab,up", "done(-1)", show=False),
        Binding("escape", "leave", "As it was", show=False),
    ]

    def action_done(self, then: int) -> None:
        self.post_message(Form.Entered(self.value, then))

    def action_leave(self) -> None:
        self.post_message(Form.Left())


class Form(Container):
    """Tells the screen what a person wants to change. The screen changes it."""

    DEFAULT_CSS = """
    Form { layers: rows line; height: 1fr; width: 1fr; }
    Form FieldList { layer: rows; }
    Form ValueInput, Form ValueInput:focus {
        layer: line; display: none; height: 1; border: none; padding: 0; background: $panel;
        background-tint: $primary 20%;
    }
    """

    class Entered(Message):
        """The typed `text` is the new value. The pick then moves by `then` rows."""

        def __init__(self, text: str, then: int) -> None:
            super().__init__()
            self.text = text
            self.then = then

    class Left(Message):
        """A person has left the line: the typed value is dropped."""

    def compose(self) -> ComposeResult:
        yield FieldList()
        typed = ValueInput(id="typed", select_on_focus=False)
        typed.cursor_blink = False
        yield typed

    @property
    def rows(self) -> FieldList:
        return self.query_one(FieldList)

    @property
    def typed(self) -> ValueInput:
        return self.query_one(ValueInput)

    @property
    def typing(self) -> bool:
        return bool(self.typed.display)

    def begin(self, text: str) -> None:
        """Opens the line over the picked value."""
        self.typed.display = True
        self.typed.value = text
        self.typed.cursor_position = len(text)
        self.rows.set_complaint("")
        self._place()
        self.typed.focus()

    def end(self) -> None:
        if self.typing:
            self.rows.focus()
            self.typed.display = False
            self.rows.set_complaint(None)

    def complain(self, wrong: str) -> None:
        """Shows below the row what is wrong with the typed value; "" if it is right."""
        self.rows.set_complaint(wrong)
        self._place()

    def on_resize(self) -> None:
        if self.typing:
            self.call_after_refresh(self._place)

    def _place(self) -> None:
        self.typed.styles.offset = (VALUE_AT, self.rows.row_of_pick())
        self.typed.styles.width = max(8, self.rows.size.width - VALUE_AT)
