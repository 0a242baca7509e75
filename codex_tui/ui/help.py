"""Every key, on one screen."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from codex_tui.base import bandwidth
from codex_tui.ui.kit.drawing import ACCENT, MUTED, line

Section = tuple[str, tuple[tuple[str, str], ...]]  # its title; each key and what it does
WIDE = 116  # columns from which the sections stand in two
LEFT = 4  # sections of the left one
SECTIONS: tuple[Section, ...] = (
    (
        "Everywhere",
        (
            ("p", "profiles: pick one and launch it"),
            ("o", "runs: open another one"),
            ("ctrl+p", "all commands, by name"),
            ("ctrl+t", "dark or light"),
            ("?", "this help"),
            ("q", "quit; a run in training goes on"),
        ),
    ),
    (
        "Cockpit",
        (
            ("1 … 5", "the panes; Tab goes round"),
            ("z", "the pane alone, and back"),
            ("g", "logarithmic loss, and back"),
            ("x", "loss over steps, time or tokens"),
            ("s", "stop and save; again: terminate, kill"),
            ("r", "resume a stopped, failed or lost run"),
            ("i", "what really ran, warnings, checkpoints"),
            ("l", "log"),
            ("D", "the run's dataset, all of it"),
        ),
    ),
    (
        "Samples",
        (
            ("← →", "previous, next; < and > first, last"),
            ("d", "the run's answers, or the dataset's rows"),
            ("v", "a row raw, or as the model sees it"),
        ),
    ),
    (
        "Data",
        (
            ("1 … 4", "the model's view, raw, tokens, overview"),
            ("i", "tokens with their ids, and back"),
            ("← →", "previous, next row; Enter reads it"),
            ("/", "search; Esc ends it"),
            ("g", "go to a row by its number"),
            ("f", "next filter: a all, b bad, c cut,"),
            ("", "l longest first, d duplicates"),
            ("[ ] =", "look at another max_seq_length"),
            ("Bksp", "back to the profile's own"),
            ("e", "edit the profile, with that length"),
            ("t", "count all tokens, or stop it"),
        ),
    ),
    (
        "Chat",
        (
            ("c", "ask; the model loads when first asked"),
            ("Enter", "ask"),
            ("Esc", "stop the answer; else leave the line"),
            ("ctrl+o", "base ⇄ adapter"),
            ("ctrl+l", "clear the conversation"),
        ),
    ),
    (
        "Profiles",
        (
            ("Enter, n", "launch"),
            ("e", "edit; of a shipped one, a child of your own"),
            ("d", "look at its dataset"),
            ("D", "duplicate, comments and all"),
            ("E", "edit in $EDITOR"),
        ),
    ),
    (
        "Editor",
        (
            ("Enter", "edit the value; ← → go through choices"),
            ("Del", "unset: as it is inherited"),
            ("u, U", "undo, redo"),
            ("s, S", "save, save under another name"),
            ("c", "compare with the parent"),
            ("r", "what would make it fit; Enter applies one"),
            ("/", "find a field"),
        ),
    ),
    ("Texts", (("↑ ↓", "scroll; PgUp and PgDn by a page"), ("Home End", "start, end; the log follows its end"))),
)


class HelpScreen(ModalScreen[None]):
    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen > VerticalScroll {
        width: 60; max-width: 96%; height: auto; max-height: 96%;
        padding: 0 2; background: $surface; border: round $primary; border-title-color: $primary;
        scrollbar-size-vertical: 1;
    }
    HelpScreen.wide > VerticalScroll { width: 116; max-width: 98%; }
    HelpScreen.wide Container { layout: grid; grid-size: 2; }
    HelpScreen Container, HelpScreen Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        with VerticalScroll() as scroll:
            scroll.border_title = "Keys"
            low = "low bandwidth · " if bandwidth.pace.low else ""
            scroll.border_subtitle = f"{low}↑ ↓ scroll · Esc closes"
            with Container():
                yield Static(_text(SECTIONS[:LEFT]))
                yield Static(_text(SECTIONS[LEFT:]))

    def on_resize(self) -> None:
        self.set_class(self.size.width >= WIDE, "wide")


def _text(sections: tuple[Section, ...]) -> Content:
    rows: list[Content] = []
    for title, entries in sections:
        rows.append(line((title, "bold")))
        rows += [line((f"  {key:<10}", ACCENT), (does, MUTED)) for key, does in entries]
        rows.append(Content(""))
    return Content("\n").join(rows)
