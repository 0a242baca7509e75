"""Small questions and notices over a screen. All text is shown as it is, never as markup."""

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

DIALOG_CSS = """
{name} {{ align: center middle; background: $background 60%; }}
{name} > Vertical {{
    width: 72; max-width: 92%; height: auto; max-height: 90%;
    padding: 1 2; background: $surface; border: round $primary;
}}
{name} Static {{ height: auto; margin-bottom: 1; }}
{name} .keys {{ margin-bottom: 0; }}
"""


def make_key_row(*pairs: tuple[str, str]) -> Static:
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
            yield make_key_row(("Enter", self._does), ("Esc", "leave it"))

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
            yield make_key_row(("Esc", "close"))


class Options(ModalScreen[str | None]):
    """A question with several answers, a key each: `(key, what it does)`. Enter gives the first, Escape None."""

    DEFAULT_CSS = DIALOG_CSS.format(name="Options")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "first", "The first of them"),
        Binding("escape", "dismiss(None)", "None of them"),
    ]

    def __init__(self, title: str, text: str, options: Sequence[tuple[str, str]], leave: str) -> None:
        super().__init__()
        self._title, self._text, self._options, self._leave = title, text, options, leave

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(line((clean(self._title), "bold")))
            yield Static(Content(clean(self._text, newlines=True)))
            yield make_key_row(*self._options, ("Esc", self._leave))

    def on_key(self, event: Key) -> None:
        if event.character in dict(self._options):
            event.stop()
            self.dismiss(event.character)

    def action_first(self) -> None:
        self.dismiss(self._options[0][0])


class Ask(ModalScreen[str | None]):
    """One line to type. `check` says what is wrong with it, "" where nothing is; Escape gives None."""

    DEFAULT_CSS = (
        DIALOG_CSS.format(name="Ask")
        + """
    Ask Input, Ask Input:focus { height: 1; border: none; padding: 0 1; background: $panel; margin-bottom: 1; }
    Ask #wrong { color: $error; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, title: str, text: str, does: str, given: str, check: Callable[[str], str]) -> None:
        super().__init__()
        self._title, self._text, self._does, self._given, self._check = title, text, does, given, check

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(line((clean(self._title), "bold")))
            yield Static(Content(clean(self._text, newlines=True)))
            yield Input(self._given, select_on_focus=False)
            yield Static(id="wrong", markup=False)
            yield make_key_row(("Enter", self._does), ("Esc", "cancel"))

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False
        self.query_one("#wrong").display = False

    def on_input_changed(self, event: Input.Changed) -> None:
        self._say(self._check(event.value) if event.value.strip() else "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if wrong := self._check(event.value):
            self._say(wrong)
        else:
            self.dismiss(event.value.strip())

    def _say(self, wrong: str) -> None:
        static = self.query_one("#wrong", Static)
        static.display = bool(wrong)
        static.update(Content(clean(f"✗ {wrong}")))
