"""The fields of the launch dialog for the run's name and its deadline, side by side."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Input, Static

from codex_tui.base.errors import BadInput
from codex_tui.ui.kit.line_input import LineInput


class NameAndTime(Horizontal):
    DEFAULT_CSS = """
    NameAndTime { height: 3; }
    NameAndTime > Vertical { width: 1fr; height: 3; }
    NameAndTime > .time { width: 28; margin-left: 2; }
    """

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static("Run name", classes="label", markup=False)
            yield LineInput(id="name", placeholder="automatic", select_on_focus=True)
        with Vertical(classes="time"):
            yield Static("Have the adapter saved by", classes="label", markup=False)
            yield LineInput(id="until", placeholder="no limit; or 07:00, +6h", select_on_focus=True)

    def propose_name(self, name: str) -> None:
        self.query_one("#name", Input).placeholder = f"{name} (automatic)"

    @property
    def run_name(self) -> str | None:
        return self.query_one("#name", Input).value.strip() or None

    @property
    def time(self) -> str:
        return self.query_one("#until", Input).value.strip()


def read_deadline(text: str) -> float | BadInput | None:
    """Return the deadline that `text` gives, the error if it is no time, or None if it is empty."""
    from codex_tui.base.deadline import parse_deadline

    if not text:
        return None
    try:
        return parse_deadline(text)
    except BadInput as error:
        return error
