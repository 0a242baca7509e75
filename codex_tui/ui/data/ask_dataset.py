"""Asks for the rows to show with a profile that names no dataset, as the shipped ones for a card do."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from codex_tui.base.text import clean
from codex_tui.ui.kit.dataset_input import DatasetInput
from codex_tui.ui.kit.dialogs import DIALOG_CSS, make_key_row
from codex_tui.ui.kit.drawing import line
from codex_tui.ui.kit.suggesting_input import Suggestions


class AskDataset(ModalScreen[str | None]):
    """Returns the typed name of a dataset, or None on Escape. `default` is what was typed the last time."""

    DEFAULT_CSS = (
        DIALOG_CSS.format(name="AskDataset")
        + """
    AskDataset LineInput { margin-bottom: 1; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(self, profile_name: str, default: str = "") -> None:
        super().__init__()
        self._profile_name, self._default = profile_name, default

    def compose(self) -> ComposeResult:
        suggestions = Suggestions()
        name = clean(self._profile_name)
        with Vertical():
            yield Static(line(("Which rows?", "bold")))
            yield Static(
                Content(f"{name} names no dataset. Look at a file, folder or pattern, or owner/name on the Hub.")
            )
            yield DatasetInput(self._default, suggestions, "JSONL, JSON, CSV or Parquet")
            yield suggestions
            yield make_key_row(("Enter", "show the rows"), ("↓", "choose a file"), ("Esc", "cancel"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if name := event.value.strip():
            self.dismiss(name)
        else:
            self.notify("Type a name first, or press ↓ to choose a file.", markup=False)
