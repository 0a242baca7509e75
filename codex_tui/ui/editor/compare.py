"""Shows the fields in which a profile differs from its parent, or from the defaults if it has no parent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen

from codex_tui.base.secrets import redact
from codex_tui.base.text import clean
from codex_tui.profiles.draft import Draft
from codex_tui.profiles.fields import find_differences
from codex_tui.profiles.literals import format_value
from codex_tui.ui.kit.dialogs import DIALOG_CSS, make_key_row
from codex_tui.ui.kit.drawing import MUTED, STRONG, line
from codex_tui.ui.kit.text_view import TextView


class CompareScreen(ModalScreen[None]):
    DEFAULT_CSS = (
        DIALOG_CSS.format(name="CompareScreen")
        + """
    CompareScreen > Vertical { width: 110; border-title-color: $primary; }
    CompareScreen TextView { max-height: 70vh; margin-bottom: 1; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,c,q,enter", "dismiss", "Close")]

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self._draft = draft

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = Content(f"{clean(self._draft.path.stem)} ⇄ {self._base_name}")
            yield TextView(id="differences")
            yield make_key_row(("↑ ↓", "scroll"), ("Esc", "close"))

    def on_mount(self) -> None:
        view = self.query_one(TextView)
        rows = [*self._rows()]
        view.set_text(rows)
        view.styles.height = len(rows) + 1
        view.focus()

    @property
    def _base_name(self) -> str:
        """The name of what the profile is compared with."""
        parent = self._draft.resolved.parent
        return clean(parent.stem) if parent else "the defaults"

    def _rows(self) -> Iterator[Content]:
        resolved = self._draft.resolved
        changes = [*find_differences(resolved)]
        if not changes:
            yield line((f"No differences from {self._base_name}.", MUTED))
        base_label = "parent" if resolved.parent else "default"
        table = None
        for path, own_value, base_value in changes:
            field_table, _, name = path.rpartition(".")
            if field_table != table:
                if table is not None:
                    yield Content("")
                table = field_table
                yield line((table, "bold $primary"))
            yield line((f"  {name}", STRONG))
            yield line(("    this file  ", MUTED), _format_value(own_value))
            yield line((f"    {base_label:<11}", MUTED), (_format_value(base_value), MUTED))


def _format_value(value: object) -> str:
    return "unset" if value is None else clean(redact(format_value(value))) or '""'
