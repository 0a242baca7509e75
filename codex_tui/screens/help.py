"""Every key, on one screen."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from codex_tui.widgets.ink import ACCENT, MUTED, line

SECTIONS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Everywhere",
        (
            ("p", "profiles: pick one and launch it"),
            ("o", "runs: open another one"),
            ("ctrl+p", "all commands, by name"),
            ("ctrl+t", "dark or light"),
            ("?", "this help"),
            ("q", "quit; a run in training goes on without the app"),
        ),
    ),
    (
        "Cockpit",
        (
            ("1 … 5", "loss, GPU, samples, chat, log; Tab goes round"),
            ("z", "the pane alone, and back"),
            ("g", "logarithmic loss, and back"),
            ("x", "loss over steps, time or tokens"),
            ("s", "stop and save; then terminate, then kill; asks first"),
            ("r", "resume a run that stopped, failed or was lost"),
            ("i", "details: what really ran, warnings, checkpoints"),
            ("l", "log"),
        ),
    ),
    (
        "Samples",
        (
            ("← →", "previous, next; < and > first, last"),
            ("d", "the answers of the run, or the rows of the dataset"),
            ("v", "a row raw, or as the model sees it"),
        ),
    ),
    (
        "Chat",
        (
            ("c", "go to the chat; the model loads at the first question"),
            ("Enter", "ask"),
            ("Esc", "stop the answer; else leave the line"),
            ("ctrl+o", "base ⇄ adapter"),
            ("ctrl+l", "clear the conversation"),
        ),
    ),
    (
        "Profiles",
        (("Enter, n", "launch"), ("e", "edit in $EDITOR; a shipped profile is copied first")),
    ),
    ("Texts", (("↑ ↓ PgUp PgDn", "scroll; j and k too"), ("Home End", "start, end; the log follows its end"))),
)


class HelpScreen(ModalScreen[None]):
    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > VerticalScroll {
        width: 76; max-width: 96%; height: auto; max-height: 96%;
        padding: 0 2; background: $surface; border: round $primary; border-title-color: $primary;
        scrollbar-size-vertical: 1;
    }
    HelpScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        with VerticalScroll() as scroll:
            scroll.border_title = "Keys"
            scroll.border_subtitle = "Esc closes"
            yield Static(Content("\n").join(list(_lines())))


def _lines() -> list[Content]:
    rows: list[Content] = []
    for title, entries in SECTIONS:
        rows.append(line((title, "bold")))
        rows += [line((f"  {key:<14}", ACCENT), (does, MUTED)) for key, does in entries]
        rows.append(Content(""))
    return rows[:-1]
