"""Dialogs with a question or a notice, shown above a screen. They never read text as markup."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from codex_tui.base.text import clean
from codex_tui.ui.kit.drawing import ACCENT, MUTED, line
from codex_tui.ui.kit.line_input import LineInput

DIALOG_CSS = """
{name} {{ align: center middle; background: $background 60%; }}
{name} > Vertical {{
    width: 72; max-width: 92%; height: auto; max-height: 90%;
    padding: 1 2; background: $surface; border: round $primary;
}}
{name} Static {{ height: auto; margin-bottom: 1; }}
{name} .keys {{ margin-bottom: 0; }}
"""


def format_keys(*pairs: tuple[str, str]) -> Content:
    """Formats the last row of a dialog: pairs of a key and the name of its action."""
    return Content("    ").join(line((key, f"bold {ACCENT}"), (f" {action}", MUTED)) for key, action in pairs)


def make_key_row(*pairs: tuple[str, str]) -> Static:
    """Makes the last row of a dialog."""
    return Static(format_keys(*pairs), classes="keys")


class Confirm(ModalScreen[bool]):
    """Asks whether to do `action`. Enter and y return True; Escape, n and q return False.

    `cancel` names the action of Escape.
    """

    DEFAULT_CSS = DIALOG_CSS.format(name="Confirm")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "answer(True)", "Yes"),
        Binding("escape,n,q", "answer(False)", "No"),
    ]
    YES_KEY, NO_KEY = "Enter", "Esc"  # in the last row

    def __init__(self, title: str, text: str, action: str, cancel: str = "cancel") -> None:
        super().__init__()
        self._title, self._text, self._action, self._cancel = title, text, action, cancel

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(line((clean(self._title), "bold")))
            yield Static(Content(clean(self._text, newlines=True)))
            yield make_key_row((self.YES_KEY, self._action), (self.NO_KEY, self._cancel))

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class ConfirmDeletion(Confirm):
    """Asks whether to delete something, which can't be undone. Only y returns True: Enter is pressed by accident."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "answer(False)", "No")]
    YES_KEY, NO_KEY = "y", "Enter, Esc"

    def __init__(self, title: str, text: str, cancel: str) -> None:
        super().__init__(title, text, "delete", cancel)


class Notice(ModalScreen[None]):
    """Shows an error: what went wrong, and what to do about it."""

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
            yield make_key_row(("Esc", "close"))


class Options(ModalScreen[str | None]):
    """Asks a question with several answers. `options` are pairs of a key and the name of its action.

    Returns the key of the answer: Enter chooses the first option, Escape returns None. `cancel` names the action of
    Escape.
    """

    DEFAULT_CSS = DIALOG_CSS.format(name="Options")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "first", "First option"),
        Binding("escape", "dismiss(None)", "Cancel"),
    ]

    def __init__(self, title: str, text: str, options: Sequence[tuple[str, str]], cancel: str) -> None:
        super().__init__()
        self._title, self._text, self._options, self._cancel = title, text, options, cancel

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(line((clean(self._title), "bold")))
            yield Static(Content(clean(self._text, newlines=True)))
            yield make_key_row(*self._options, ("Esc", self._cancel))

    def on_key(self, event: Key) -> None:
        if event.character in dict(self._options):
            event.stop()
            self.dismiss(event.character)

    def action_first(self) -> None:
        self.dismiss(self._options[0][0])


class Ask(ModalScreen[str | None]):
    """Asks for one line of text, which begins as `default`. Returns the text, or None on Escape.

    `check` returns what is wrong with the typed text, or "" if it is right. `action` names what Enter does.
    """

    DEFAULT_CSS = (
        DIALOG_CSS.format(name="Ask")
        + """
    Ask LineInput { margin-bottom: 1; }
    Ask #problem { color: $error; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, title: str, text: str, action: str, default: str, check: Callable[[str], str]) -> None:
        super().__init__()
        self._title, self._text, self._action, self._default, self._check = title, text, action, default, check

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(line((clean(self._title), "bold")))
            yield Static(Content(clean(self._text, newlines=True)))
            yield LineInput(self._default, select_on_focus=True)
            yield Static(id="problem", markup=False)
            yield make_key_row(("Enter", self._action), ("Esc", "cancel"))

    def on_mount(self) -> None:
        self.query_one("#problem").display = False

    def on_input_changed(self, event: Input.Changed) -> None:
        self._show_problem(self._check(event.value) if event.value.strip() else "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if problem := self._check(event.value):
            self._show_problem(problem)
        else:
            self.dismiss(event.value.strip())

    def _show_problem(self, problem: str) -> None:
        static = self.query_one("#problem", Static)
        static.display = bool(problem)
        static.update(Content(clean(f"✗ {problem}")))
