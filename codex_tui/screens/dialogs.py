"""Small questions and notices over a screen. All text is shown as it is, never as markup."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from codex_tui.core.text import clean
from codex_tui.widgets.ink import ACCENT, MUTED, line

DIALOG_CSS = """
{name} {{ align: center middle; background: $background 60%; }}
{name} > Vertical {{
    width: 72; max-width: 92%; height: auto; max-height: 90%;
    padding: 1 2; background: $surface; border: round $primary;
}}
{name} Static {{ height: auto; margin-bottom: 1; }}
{name} .keys {{ margin-bottom: 0; }}
"""


def keys(*pairs: tuple[str, str]) -> Static:
    """The last row of a dialog: what can be pressed."""
    parts = [line((key, f"bold {ACCENT}"), (f" {does}", MUTED)) for key, does in pairs]
    return Static(Content("    ").join(parts), classes="keys")


class Confirm(ModalScreen[bool]):
    """A question with one consequence. Enter or y does it; Escape or n does not."""

    DEFAULT_CSS = DIALOG_CSS.format(name="Confirm")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "answer(True)", "Yes"),
        Binding("escape,n,q", "answer(False)", "No"),
    ]

    def __init__(self, title: str, text: str, does: str) -> None:
        super().__init__()
        self._title, self._text, self._does = title, text, does

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(line((clean(self._title), "bold")))
            yield Static(Content(clean(self._text, newlines=True)))
            yield keys(("Enter", self._does), ("Esc", "leave it"))

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class Notice(ModalScreen[None]):
    """What went wrong and what to do about it."""

    DEFAULT_CSS = DIALOG_CSS.format(name="Notice")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,space", "dismiss", "Close")]

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__()
        self._message, self._hint = message, hint

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(line((clean(self._message, newlines=True), "bold")))
            if self._hint:
                yield Static(Content(clean(self._hint, newlines=True)))
            yield keys(("Esc", "close"))
