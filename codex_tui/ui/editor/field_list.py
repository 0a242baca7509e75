"""The rows of a form: a field each, grouped by table, with what is wrong below it. Only changed cells are sent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.strip import Strip

from codex_tui.base.text import clean, shorten
from codex_tui.ui.kit.drawing import ACCENT, MUTED, STRONG, line, to_strips
from codex_tui.ui.kit.painted import Painted

if TYPE_CHECKING:  # pydantic is read after the first paint
    from codex_tui.profiles.fields import Field

NAME_WIDTH = 28  # the longest name, and a space
VALUE_AT = 4 + NAME_WIDTH  # the column where values begin
CHANGED, OWN = "●", "·"
AROUND = 2  # rows kept in sight above and below the picked one, so that its heading is seen


class FieldList(Painted, can_focus=True):
    """The rows. One is picked; headings, notes and what is wrong stand between them."""

    DEFAULT_CSS = """
    FieldList { height: 1fr; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Field above", show=False),
        Binding("down,j", "move(1)", "Field below", show=False),
        Binding("pageup", "table(-1)", "Table above", show=False),
        Binding("pagedown", "table(1)", "Table below", show=False),
        Binding("home", "move(-1000000)", "First field", show=False),
        Binding("end,G", "move(1000000)", "Last field", show=False),
        Binding("enter", "edit", "Edit the value", show=False),
        Binding("right,space,l", "cycle(1)", "Next choice", show=False),
        Binding("left,h", "cycle(-1)", "Previous choice", show=False),
        Binding("delete,backspace", "unset", "Unset: as inherited", show=False),
    ]

    class Moved(Message):
        """Another field is picked."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, FieldList.Moved)

    class Edit(Message):
        """The picked value is to be edited."""

    class Unset(Message):
        """The picked field is to be as it is inherited."""

    class Cycle(Message):
        """The picked field is to take its next choice, or the one before."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    def __init__(self) -> None:
        super().__init__(id="fields")
        self._fields: Sequence[Field] = ()
        self._notes: Sequence[Content] = ()
        self._index = 0
        self._top = 0
        self._typing: str | None = None  # what is wrong with what is typed into the picked row; None: nothing is
        self._rows: list[tuple[Content, int | None]] = []

    @property
    def index(self) -> int:
        return self._index

    @property
    def field(self) -> Field | None:
        return self._fields[self._index] if self._fields else None

    def set_fields(self, fields: Sequence[Field], notes: Sequence[Content]) -> None:
        """`notes` stand above all fields."""
        self._fields, self._notes = fields, notes
        self.repaint()

    def set_typing(self, complaint: str | None) -> None:
        self._typing = complaint
        self.repaint()

    def row_of_pick(self) -> int:
        """Where the picked row is painted."""
        return next((y for y, (_, at) in enumerate(self._rows[self._top :]) if at == self._index), 0)

    def paint(self, width: int, height: int) -> list[Strip]:
        self._rows = [*self._all_rows(width)]
        mine = [y for y, (_, at) in enumerate(self._rows) if at in (self._index, -1 - self._index)] or [0]
        first = max(0, mine[0] - AROUND) if self._index else 0
        last = min(len(self._rows) - 1, mine[-1] + AROUND)
        self._top = max(0, min(self._top, first, len(self._rows) - height), min(last, first + height - 1) - height + 1)
        return to_strips(self, [row for row, _ in self._rows[self._top : self._top + height]], width, height)

    def _all_rows(self, width: int) -> Iterator[tuple[Content, int | None]]:
        """Each row and the field that it is; -1 - field where it says what is wrong with it."""
        for note in self._notes:
            yield from ((row, None) for row in note.wrap(max(1, width)))
        table = None
        for number, field in enumerate(self._fields):
            if field.knob.table != table:
                if table is not None:
                    yield Content(""), None
                table = field.knob.table
                if table:
                    yield line("  ", (table, f"bold {ACCENT}")), None
            picked = number == self._index
            yield self._row(field, picked, width), number
            typing = self._typing if picked else None
            for wrong in field.problems if typing is None else filter(None, [typing]):
                for row in line((f"✗ {clean(wrong)}", "$error")).wrap(max(1, width - 4)):
                    yield line("    ", row), -1 - number

    def _row(self, field: Field, picked: bool, width: int) -> Content:
        mark = line((CHANGED, "bold $warning")) if field.changed else line((OWN if field.own else " ", ACCENT))
        name = (f"{field.knob.name:<{NAME_WIDTH}}", "" if field.own else MUTED)
        row = line("▌ " if picked else "  ", mark, " ", name, self._value(field, picked, width - VALUE_AT))
        if not picked:
            return row
        style = "bold on $panel" if self.has_focus or self._typing is not None else "on $panel"
        return row.pad_right(max(0, width - row.cell_length)).stylize(style)

    def _value(self, field: Field, picked: bool, width: int) -> Content:
        """The value and its unit; arrows where the picked one can be stepped through."""
        if field.value in (None, ""):
            shown = line(("unset", MUTED))
        else:
            unit = f" {_unit(field)}" if field.knob.unit and not isinstance(field.value, str) else ""
            text = shorten(value_text(field), max(1, width - 4 - len(unit)))
            shown = line((text, "$error" if field.problems else STRONG if field.own else ""), (unit, MUTED))
        return line(("‹ ", ACCENT), shown, (" ›", ACCENT)) if picked and len(field.choices) > 1 else shown

    def action_move(self, rows: int) -> None:
        self.pick(self._index + rows)

    def action_table(self, step: int) -> None:
        """To the first field of the next table, or of this one or the one before."""
        starts = [n for n, f in enumerate(self._fields) if not n or f.knob.table != self._fields[n - 1].knob.table]
        beyond = [n for n in starts if (n > self._index if step > 0 else n < self._index)]
        self.pick(beyond[0 if step > 0 else -1] if beyond else len(self._fields) - 1 if step > 0 else 0)

    def pick(self, index: int) -> None:
        index = max(0, min(index, len(self._fields) - 1))
        if index != self._index:
            self._index = index
            self.repaint()
            self.post_message(FieldList.Moved())

    def action_edit(self) -> None:
        self.post_message(FieldList.Edit())

    def action_cycle(self, step: int) -> None:
        self.post_message(FieldList.Cycle(step))

    def action_unset(self) -> None:
        self.post_message(FieldList.Unset())

    def on_focus(self) -> None:
        self.repaint()

    def on_blur(self) -> None:
        self.repaint()

    def on_click(self, event: events.Click) -> None:
        at = self._rows[self._top + event.y][1] if self._top + event.y < len(self._rows) else None
        if at is not None and at >= 0:
            if at == self._index:
                self.action_edit()
            self.pick(at)

    def on_mouse_scroll_down(self) -> None:
        self.action_move(1)

    def on_mouse_scroll_up(self) -> None:
        self.action_move(-1)


def value_text(field: Field) -> str:
    """A value as it is shown: harmless, and without a secret."""
    from codex_tui.base.secrets import hidden
    from codex_tui.profiles.literals import shown

    return clean(hidden(shown(field.value)))


def _unit(field: Field) -> str:
    """Of one: `1 row`, `1 batch`."""
    unit = field.knob.unit
    return unit.removesuffix("es" if unit.endswith("ches") else "s") if field.value == 1 else unit
