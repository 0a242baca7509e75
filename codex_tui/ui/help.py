"""The help screen: all keys on one screen, first those of the screen below it."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from codex_tui.base import bandwidth
from codex_tui.ui.kit.drawing import ACCENT, MUTED, line

Section = tuple[str, tuple[tuple[str, str], ...]]  # a title, and pairs of a key and its action
MIN_TWO_COLUMN_WIDTH = 116  # cells; a narrower terminal shows the sections in one column
SECTIONS: tuple[Section, ...] = (
    (
        "Everywhere",
        (
            ("p", "profiles: choose one and start training"),
            ("o", "runs: open another run"),
            ("ctrl+p", "all commands, by name"),
            ("ctrl+t", "dark or light theme"),
            ("?", "this help"),
            ("q", "quit; a training run continues"),
        ),
    ),
    (
        "Cockpit",
        (
            ("1 … 5", "show a pane; Tab shows the next one"),
            ("z", "show only this pane, and back"),
            ("g", "chart: logarithmic, all values, linear"),
            ("x, y", "chart: steps, time, tokens; other curves"),
            ("← → + -", "chart: read a value; zoom in and out"),
            ("s", "stop and save; again: end now, kill"),
            ("r", "resume a stopped, failed or lost run"),
            ("L", "lend the card: save, wait; L again: go on"),
            ("i", "settings in use, warnings, checkpoints"),
            ("l", "log"),
            ("D", "the run's dataset, all rows"),
            ("J", "judge the run, or see its judgement"),
            ("E", "export its model: merged, GGUF, Ollama"),
            ("Y, P", "copy Python that loads it, copy its push"),
        ),
    ),
    (
        "Samples",
        (
            ("← →", "previous, next; < first, > last"),
            ("d", "the run's answers, or the dataset's rows"),
            ("v", "the raw row, or the model's view of it"),
        ),
    ),
    (
        "Data",
        (
            ("1 … 5", "model's view, raw, tokens, overview, X-ray"),
            ("4", "also explains the signs of rows: e, ✗ and others"),
            ("i", "a line for each token, on or off"),
            ("← →", "previous, next row; Enter opens it"),
            ("/", "search; Esc ends the search"),
            ("g", "go to a row number"),
            ("f", "next filter: a all, b bad, c cut,"),
            ("", "l longest first, d duplicates"),
            ("w x", "X-ray: worst-learned first; measure"),
            ("[ ] =", "try another max_seq_length"),
            ("Bksp", "return to the profile's max_seq_length"),
            ("m", "compare every max_seq_length"),
            ("e", "edit the profile, with that length"),
            ("t", "start or stop counting all tokens"),
        ),
    ),
    (
        "Lengths",
        (
            ("← →", "shorter, longer max_seq_length"),
            ("d", "cut longer rows, or drop them"),
            ("f", "the longest that fits the card"),
            ("= Bksp", "another length, the profile's own"),
            ("Enter", "use it: save it, or set it for this run"),
        ),
    ),
    (
        "Chat",
        (
            ("c", "ask a question; the first loads the model"),
            ("Enter", "send the question; ctrl+j: new line"),
            ("↑ ↓", "earlier questions, while typing"),
            ("Esc", "stop the answer, or leave chat"),
            ("ctrl+o", "switch between base model and adapter"),
            ("ctrl+r", "ask both, and see the differences"),
            ("ctrl+b", "who answers while the run trains"),
            ("ctrl+g", "let an exported GGUF file answer, faster"),
            ("ctrl+s", "system message, temperature, seed, …"),
            ("ctrl+l", "clear the conversation"),
            ("y, ← →", "copy an answer, pick one"),
            ("/, n N", "search, next and previous match"),
        ),
    ),
    (
        "Profiles",
        (
            ("Enter, n", "start training"),
            ("e", "edit, or extend a shipped profile"),
            ("d", "show its dataset"),
            ("D", "duplicate, with its comments"),
            ("E", "edit in $EDITOR"),
        ),
    ),
    (
        "Runs",
        (
            ("Enter", "open; r resumes it"),
            ("L", "lend the card, or bring the run back"),
            ("[ ], x", "queued: start earlier, later; leave"),
            ("/", "filter by words; Esc shows all"),
            ("s, S", "next order, the order before"),
            ("Space, v", "mark runs; compare the marked ones"),
            ("J", "judge the run, or see its judgement"),
            ("E", "export its model: merged, GGUF, Ollama"),
            ("Y, P", "copy Python that loads it, copy its push"),
            ("n, R", "write a note, rename"),
            ("d, Del", "delete the run"),
            ("c", "delete checkpoints that no one needs"),
        ),
    ),
    (
        "Comparison",
        (
            ("y", "loss or evaluation loss"),
            ("x, g", "steps, time, tokens; other scales"),
            ("z", "only the chart, only the table, both"),
            ("↑ ↓ ← →", "scroll the table; ← → other runs"),
        ),
    ),
    (
        "Judgement",
        (
            ("n, r", "judge the run; go on after a stop"),
            ("m", "send the answers to the judge model"),
            ("Enter", "read a question; ← → other ones"),
            ("w, b, f", "worse, better, failed; a all"),
            ("t, T", "next tag, the tag before"),
            ("/", "search; Esc shows all"),
            ("y, Y", "copy the answer, the question with both"),
            ("← →", "newer, older judgement"),
            ("1, 2", "the result, the questions"),
        ),
    ),
    (
        "Export",
        (
            ("Enter", "export this kind; r goes on after a stop"),
            ("y", "copy the lines that use it"),
        ),
    ),
    (
        "Editor",
        (
            ("Enter", "edit the value, or type digits; ← → choose"),
            ("Del", "remove the value from this file"),
            ("u, U", "undo, redo"),
            ("s, S", "save, save under another name"),
            ("n", "save and launch; ctrl+n while typing"),
            ("c", "compare with the parent"),
            ("r", "ways to make it fit; Enter applies one"),
            ("m", "compare every max_seq_length"),
            ("/", "find a field"),
        ),
    ),
    (
        "States of a run",
        (
            ("⋯", "queued: another run has the card"),
            ("‖", "parked: the card is lent, by you or a rule"),
            ("◷", "waiting: for Slurm, its hours or its driver"),
            ("✚", "healing: goes on in a moment"),
            ("⊘", "unreachable: no answer; it may be training"),
            ("?", "lost: gone without a last event"),
        ),
    ),
    ("Texts", (("↑ ↓", "scroll; PgUp, PgDn: one page"), ("Home End", "start, end; at its end the log follows"))),
)

SCREEN_SECTIONS = {
    "CockpitScreen": ("Cockpit", "Chat", "Samples", "States of a run"),
    "DataScreen": ("Data", "Texts"),
    "LengthsScreen": ("Lengths",),
    "ProfilesScreen": ("Profiles",),
    "EditorScreen": ("Editor",),
    "RunsScreen": ("Runs", "States of a run"),
    "ComparisonScreen": ("Comparison",),
    "JudgeScreen": ("Judgement",),
    "QuestionScreen": ("Judgement", "Texts"),
}
"""The sections that belong to a screen, by the name of its class. They come first when the help opens there."""


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

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self._sections = order_sections(screen)

    def compose(self) -> ComposeResult:
        left = count_left_sections(self._sections)
        with VerticalScroll() as scroll:
            scroll.border_title = "Keys"
            low = "low bandwidth · " if bandwidth.pace.low else ""
            scroll.border_subtitle = f"{low}↑ ↓ scroll · Esc closes"
            with Container():
                yield Static(_draw_sections(self._sections[:left]))
                yield Static(_draw_sections(self._sections[left:]))

    def on_resize(self) -> None:
        self.set_class(self.size.width >= MIN_TWO_COLUMN_WIDTH, "wide")


def order_sections(screen: Screen[Any]) -> tuple[Section, ...]:
    """Returns all sections: first that of the focused pane of `screen`, then that of the screen, then the others."""
    titles = SCREEN_SECTIONS.get(type(screen).__name__, ())
    panes = [node.id.title() for node in screen.focused.ancestors_with_self if node.id] if screen.focused else []
    first = [*(title for title in panes if title in titles), *titles[:1], "Everywhere", *titles[1:]]
    rank = {title: number for number, title in reversed([*enumerate(first)])}
    return tuple(sorted(SECTIONS, key=lambda section: rank.get(section[0], len(first))))


def count_left_sections(sections: tuple[Section, ...]) -> int:
    """Returns how many sections the left column has, so that the columns are about equally long."""
    lengths = [len(entries) + 2 for _, entries in sections]
    return min(range(1, len(sections)), key=lambda count: (max(sum(lengths[:count]), sum(lengths[count:])), -count))


def _draw_sections(sections: tuple[Section, ...]) -> Content:
    rows: list[Content] = []
    for title, entries in sections:
        rows.append(line((title, "bold")))
        rows += [line((f"  {key:<10}", ACCENT), (action, MUTED)) for key, action in entries]
        rows.append(Content(""))
    return Content("\n").join(rows)
