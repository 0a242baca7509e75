"""The dialog with the settings of a chat. They hold for the session; the run and its profile stay as they are."""

from __future__ import annotations

from typing import ClassVar

from msgspec import UNSET, UnsetType
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from codex_tui.base.errors import BadInput
from codex_tui.base.text import clean, clean_text
from codex_tui.ui.kit.dialogs import DIALOG_CSS, make_key_row
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.line_input import LineInput
from codex_tui.ui.kit.text_box import TextBox
from codex_tui.workers.chat_settings import ChatSettings, parse_setting

HELP = {
    "temperature": "0 is greedy; 0.7 varies",
    "top_p": "1 is all tokens",
    "max_new_tokens": "length limit of an answer",
    "seed": "empty: another answer each time",
}


class SystemPrompt(TextBox):
    """The system message. Enter breaks the line."""


class ChatSettingsDialog(ModalScreen[ChatSettings | None]):
    """Returns the new settings, or None on Escape. `system_prompt` is the run's own system message; with `is_text`, the
    run learned plain text, which has none."""

    DEFAULT_CSS = (
        DIALOG_CSS.format(name="ChatSettingsDialog")
        + """
    ChatSettingsDialog Grid { grid-size: 3; grid-columns: 16 18 1fr; grid-rows: 1; height: auto; margin-bottom: 1; }
    ChatSettingsDialog Grid Static { margin: 0; height: 1; }
    ChatSettingsDialog LineInput:focus, ChatSettingsDialog TextBox:focus { background-tint: $primary 20%; }
    ChatSettingsDialog TextBox { margin-bottom: 1; }
    ChatSettingsDialog .label { margin-bottom: 0; }
    ChatSettingsDialog #problem { color: $error; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "apply", "Use these settings", priority=True),
        Binding("escape", "dismiss(None)", "Cancel"),
    ]

    def __init__(self, settings: ChatSettings, system_prompt: str | None, *, is_text: bool) -> None:
        super().__init__()
        self._settings = settings
        self._own = clean_text(system_prompt or "")
        self._is_text = is_text

    def compose(self) -> ComposeResult:
        edited = self._settings.system_prompt
        with Vertical():
            yield Static(line(("Settings of this chat", "bold")))
            if not self._is_text:
                source = "the run's own" if self._own else "the run has none"
                yield Static(line("System message ", (f"({source})", MUTED)), classes="label")
                yield SystemPrompt(self._own if edited is UNSET else clean_text(edited or ""), id="system_prompt")
            with Grid():
                for name, about in HELP.items():
                    yield Static(line(name))
                    value = getattr(self._settings, name)
                    text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
                    yield LineInput(text, select_on_focus=True, id=name)
                    yield Static(line((f" {about}", MUTED)))
            yield Static(id="problem", markup=False)
            yield make_key_row(("ctrl+s", "use"), ("Tab", "next field"), ("Esc", "cancel"))

    def on_mount(self) -> None:
        self.query_one("#problem").display = False

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_apply()

    def action_apply(self) -> None:
        try:
            numbers = {name: parse_setting(name, self.query_one(f"#{name}", LineInput).value) for name in HELP}
        except BadInput as error:
            problem = self.query_one("#problem", Static)
            problem.display = True
            problem.update(Content(clean(f"✗ {error.message}")))
            return
        self.dismiss(ChatSettings(system_prompt=self._read_system_prompt(), **numbers))

    def _read_system_prompt(self) -> str | UnsetType | None:
        """The typed system message; UNSET if it is the run's own."""
        text = "" if self._is_text else self.query_one(SystemPrompt).text
        return UNSET if text == self._own else text.strip() or None
