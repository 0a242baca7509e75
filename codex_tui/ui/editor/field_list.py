"""The list of the fields of a profile, grouped by table, with the problems of each field below it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from string import digits
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Key
from textual.message import Message
from textual.strip import Strip

from codex_tui.base.text import clean, shorten, shorten_start
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line, to_strips
from codex_tui.ui.kit.scrolling import MARK, PickList, bind_scroll_keys, highlight

if TYPE_CHECKING:  # pydantic is read after the first paint
    from codex_tui.profiles.fields import Field

NAME_WIDTH = 28  # cells: the longest name and a space
VALUE_COLUMN = 4 + NAME_WIDTH  # the column where values begin
CHANGED, OWN = "●", "·"
PATHS = ("model.name", "dataset.path")  # fields that may be paths: what is cut is the beginning
CONTEXT_ROWS = 2  # visible rows above and below the picked one, so that its heading is visible


class FieldList(PickList):
    """Shows the fields of a profile, with headings, notes and problems between them."""

    WHEEL_ROWS = 1
    BINDINGS: ClassVar[list[BindingType]] = [
        *bind_scroll_keys(
            "Field above, Field below, Table above, Table below, First field, Last field", "pageup", "pagedown"
        ),
        Binding("enter", "choose", "Edit the value", show=False),
        Binding("right,space,l", "cycle(1)", "Next choice", show=False),
        Binding("left,h", "cycle(-1)", "Previous choice", show=False),
        Binding("delete,backspace", "unset", "Remove the value", show=False),
    ]

    class Moved(Message):
        """Sent when another field is picked."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, FieldList.Moved)

    class Edit(Message):
        """Asks to edit the value of the picked field. `digit` is a digit that a person has typed in the list, or ""."""

        def __init__(self, digit: str = "") -> None:
            super().__init__()
            self.digit = digit

    class Unset(Message):
        """Asks to remove the picked field from the file, so that its value is inherited."""

    class Cycle(Message):
        """Asks for the next choice of the picked field (`step` is 1), or for the previous one (-1)."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(self) -> None:
        super().__init__("fields")
        self._fields: Sequence[Field] = ()
        self._notes: Sequence[Content] = ()
        self._complaint: str | None = None  # about the typed value: "" if it is right, None while nobody types
        self._rows: list[tuple[Content, int | None]] = []

    @property
    def index(self) -> int:
        return self._index

    @property
    def field(self) -> Field | None:
        return self._fields[self._index] if self._fields else None

    def set_fields(self, fields: Sequence[Field], notes: Sequence[Content]) -> None:
        """Shows `fields`, with `notes` above them."""
        self._fields, self._notes, self.count = fields, notes, len(fields)
        self.repaint()

    def set_complaint(self, complaint: str | None) -> None:
        """Shows a complaint about the typed value: "" if the value is right, None if nobody types."""
        self._complaint = complaint
        self.repaint()

    def find_picked_row(self) -> int:
        """Returns the line on which the picked field is painted."""
        return next((y for y, (_, number) in enumerate(self._rows[self._top :]) if number == self._index), 0)

    def paint(self, width: int, height: int) -> list[Strip]:
        self._rows = [*self._draw_rows(width)]
        picked = [y for y, (_, number) in enumerate(self._rows) if number in (self._index, -1 - self._index)] or [0]
        first = max(0, picked[0] - CONTEXT_ROWS) if self._index else 0
        last = min(len(self._rows) - 1, picked[-1] + CONTEXT_ROWS)
        self._keep_in_sight(first, min(last, first + height - 1), len(self._rows), height)
        return to_strips(self, [row for row, _ in self._rows[self._top : self._top + height]], width, height)

    def _draw_rows(self, width: int) -> Iterator[tuple[Content, int | None]]:
        """Draws all rows, each with the number of its field, or -1 - number if it shows a problem of that field."""
        for note in self._notes:
            yield from ((row, None) for row in note.wrap(max(1, width)))
        table = None
        for number, field in enumerate(self._fields):
            if field.schema.table != table:
                if table is not None:
                    yield Content(""), None
                table = field.schema.table
                if table:
                    yield line("  ", (table, f"bold {ACCENT}")), None
            picked = number == self._index
            yield self._draw_row(field, picked, width), number
            complaint = self._complaint if picked else None
            for problem in field.problems if complaint is None else filter(None, [complaint]):
                for row in line((f"✗ {clean(problem)}", "$error")).wrap(max(1, width - 4)):
                    yield line("    ", row), -1 - number

    def _draw_row(self, field: Field, picked: bool, width: int) -> Content:
        mark = line((CHANGED, "bold $warning")) if field.changed else line((OWN if field.own else " ", ACCENT))
        name = (f"{field.schema.name:<{NAME_WIDTH}}", "" if field.own else MUTED)
        row = line(MARK if picked else "  ", mark, " ", name, self._draw_value(field, picked, width - VALUE_COLUMN))
        if not picked:
            return row
        return highlight(row, width, self.has_focus or self._complaint is not None)

    def _draw_value(self, field: Field, picked: bool, width: int) -> Content:
        """Draws the value and its unit, with arrows if the field is picked and has several choices."""
        if field.value in (None, ""):
            value = line(("unset", MUTED))
        else:
            unit = f" {_format_unit(field)}" if field.schema.unit and not isinstance(field.value, str) else ""
            cut = shorten_start if field.schema.path in PATHS else shorten
            text = cut(_format_value(field), max(1, width - 4 - len(unit)))
            value = line((text, "$error" if field.problems else STRONG if field.own else ""), (unit, MUTED))
        return line(("‹ ", ACCENT), value, (" ›", ACCENT)) if picked and len(field.choices) > 1 else value

    def action_page(self, pages: int) -> None:
        """Picks the first field of the next table, or, upwards, of this table or of the one before it."""
        starts = [n for n, f in enumerate(self._fields) if not n or f.schema.table != self._fields[n - 1].schema.table]
        beyond = [n for n in starts if (n > self._index if pages > 0 else n < self._index)]
        self.pick(beyond[0 if pages > 0 else -1] if beyond else len(self._fields) - 1 if pages > 0 else 0)

    def action_choose(self) -> None:
        self.post_message(FieldList.Edit())

    def on_key(self, event: Key) -> None:
        """A digit begins a new value of the picked field."""
        if event.character and event.character in digits:
            event.stop()
            self.post_message(FieldList.Edit(event.character))

    def action_cycle(self, step: int) -> None:
        self.post_message(FieldList.Cycle(step))

    def action_unset(self) -> None:
        self.post_message(FieldList.Unset())

    def entry_at(self, y: int) -> int | None:
        return self._rows[self._top + y][1] if self._top + y < len(self._rows) else None

    def announce_pick(self) -> None:
        self.post_message(FieldList.Moved())


def _format_value(field: Field) -> str:
    """Writes a value as text without control characters and secrets."""
    from codex_tui.base.secrets import redact
    from codex_tui.profiles.literals import format_value

    return clean(redact(format_value(field.value)))


def _format_unit(field: Field) -> str:
    """Returns the unit of a field, in the singular for 1: `1 row`, `1 batch`."""
    unit = field.schema.unit
    return unit.removesuffix("es" if unit.endswith("ches") else "s") if field.value == 1 else unit
