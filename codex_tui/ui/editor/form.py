"""A profile as a form: rows to move over, and a line that lies over the value which is edited."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message
from textual.widgets import Input

from codex_tui.ui.editor.field_list import VALUE_AT, FieldList


class ValueInput(Input):
    """Up, down and Tab take what was typed and go on from there."""

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
    """Says what a person wants; the screen does it."""

    DEFAULT_CSS = """
    Form { layers: rows line; height: 1fr; width: 1fr; }
    Form FieldList { layer: rows; }
    Form ValueInput, Form ValueInput:focus {
        layer: line; display: none; height: 1; border: none; padding: 0; background: $panel;
        background-tint: $primary 20%;
    }
    """

    class Entered(Message):
        """`text` is to be the value; the pick goes `then` rows on."""

        def __init__(self, text: str, then: int) -> None:
            super().__init__()
            self.text = text
            self.then = then

    class Left(Message):
        """What was typed is to be forgotten."""

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
        """Lets a person type over the picked value."""
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
        """Says below the row what is wrong with what is typed; "" where nothing is."""
        self.rows.set_complaint(wrong)
        self._place()

    def on_resize(self) -> None:
        if self.typing:
            self.call_after_refresh(self._place)

    def _place(self) -> None:
        self.typed.styles.offset = (VALUE_AT, self.rows.row_of_pick())
        self.typed.styles.width = max(8, self.rows.size.width - VALUE_AT)
