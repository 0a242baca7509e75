"""The form of a profile: the list of its fields, and a text line that covers the value while a person edits it."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.message import Message

from codex_tui.profiles.literals import format_value, insert_pasted
from codex_tui.ui.editor.field_list import VALUE_COLUMN, FieldList
from codex_tui.ui.kit.line_input import LineInput
from codex_tui.ui.messages import HintsChanged


class ValueInput(LineInput):
    """The text line. Enter, Up, Down and Tab accept the typed value; all but Enter then move to another field.

    `kinds` are the JSON types that the field takes. They decide what the lines of a pasted text become.
    """

    kinds: tuple[str, ...] = ()

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "done(0)", show=False),
        Binding("tab,down", "done(1)", show=False),
        Binding("shift+tab,up", "done(-1)", show=False),
        Binding("escape", "cancel", "Cancel", show=False),
    ]

    def paste(self, text: str) -> None:
        start, end = sorted(self.selection)
        self.value = insert_pasted(self.kinds, self.value[:start], text, self.value[end:])
        self.cursor_position = len(self.value)

    def action_done(self, move: int) -> None:
        self.post_message(Form.Entered(self.value, move))

    def action_cancel(self) -> None:
        self.post_message(Form.Cancelled())


class Form(Container):
    """Sends the changes that a person wants to the screen. The screen makes them."""

    DEFAULT_CSS = """
    Form { layers: rows line; height: 1fr; width: 1fr; }
    Form FieldList { layer: rows; }
    Form ValueInput, Form ValueInput:focus {
        layer: line; display: none; padding: 0; background-tint: $primary 20%;
    }
    """

    class Entered(Message):
        """Says that the typed `text` is the new value, and that the pick then moves by `move` fields."""

        def __init__(self, text: str, move: int) -> None:
            super().__init__()
            self.text = text
            self.move = move

    class Cancelled(Message):
        """Says that a person has cancelled the edit. The typed value is discarded."""

    def compose(self) -> ComposeResult:
        yield FieldList()
        yield ValueInput(id="typed")

    @property
    def rows(self) -> FieldList:
        return self.query_one(FieldList)

    @property
    def text_line(self) -> ValueInput:
        return self.query_one(ValueInput)

    @property
    def typing(self) -> bool:
        """Whether the text line is open."""
        return bool(self.text_line.display)

    @property
    def typed(self) -> str:
        return self.text_line.value

    def on_field_list_edit(self, message: FieldList.Edit) -> None:
        """Opens the text line for the picked field. A digit replaces the value of a field that takes numbers.

        Over a slow connection several keys arrive at once, so a later key can come here after the text line has opened.
        """
        message.stop()
        field = self.rows.field
        assert field is not None  # a profile has fields
        kinds = field.schema.kinds
        if self.typing and not message.digit:
            self.text_line.action_done(0)
        elif message.digit and not {*kinds} & {"integer", "number"}:
            self.app.bell()
        elif not kinds:
            self.rows.post_message(FieldList.Cycle(1))
        else:
            if not self.typing:
                self.open_line(format_value(field.value), kinds)
            if message.digit:
                self.type(message.digit)
            self.post_message(HintsChanged())

    def open_line(self, text: str, kinds: tuple[str, ...]) -> None:
        """Opens the text line over the picked value, with `text` in it. The text is selected: typing replaces it.

        `kinds` are the JSON types that the field takes.
        """
        self.text_line.display = True
        self.text_line.kinds = kinds
        self.text_line.value = text
        self.text_line.select_all()
        self.rows.set_complaint("")
        self._place_line()
        self.text_line.focus()

    def type(self, text: str) -> None:
        """Types `text` into the open text line."""
        self.text_line.replace(text, *sorted(self.text_line.selection))

    def close_line(self) -> None:
        if self.typing:
            self.rows.focus()
            self.text_line.display = False
            self.rows.set_complaint(None)

    def show_complaint(self, complaint: str) -> None:
        """Shows below the field what is wrong with the typed value. `complaint` is "" if the value is right."""
        self.rows.set_complaint(complaint)
        self._place_line()

    def on_resize(self) -> None:
        if self.typing:
            self.call_after_refresh(self._place_line)

    def _place_line(self) -> None:
        self.text_line.styles.offset = (VALUE_COLUMN, self.rows.find_picked_row())
        self.text_line.styles.width = max(8, self.rows.size.width - VALUE_COLUMN)
