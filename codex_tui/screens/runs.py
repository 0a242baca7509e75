"""The runs there are, newest first."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from codex_tui.core.text import clean, shorten
from codex_tui.messages import OpenRun
from codex_tui.widgets import figures
from codex_tui.widgets.choices import Choices, Row
from codex_tui.widgets.hints import HintBar
from codex_tui.widgets.ink import MUTED, line
from codex_tui.widgets.run_header import status_text
from codex_tui.widgets.title_bar import TitleBar
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.core.runs import RunSummary

HINTS = (("Enter", "open"), ("p", "profiles"), ("ctrl+r", "read again"), ("↑ ↓", "choose"), ("Esc", "back"))
COLUMNS = (("state", 13), ("step", 15), ("loss", 8), ("eval", 8), ("made", 13))
SHORT = ("state", "step", "loss", "made")  # of a narrow screen
WIDE = 90


class RunsScreen(Screen[None]):
    DEFAULT_CSS = """
    RunsScreen > Vertical { border: round $primary; border-title-color: $primary; padding: 0; }
    RunsScreen #empty { padding: 1 2; height: auto; display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "reload", "Read the runs again"),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._runs: list[RunSummary] = []

    def compose(self) -> ComposeResult:
        yield TitleBar("Runs", "newest first; Enter opens one")
        with Vertical() as box:
            box.border_title = "Runs"
            yield Static(line(("No runs yet. p shows the profiles; Enter there launches one.", MUTED)), id="empty")
            yield Choices(id="runs")
        yield HintBar(HINTS)

    def on_mount(self) -> None:
        self.call_after_refresh(self.action_reload)

    async def action_reload(self) -> None:
        self._runs = await asyncio.to_thread(_read_runs)
        now = time.time()
        choices = self.query_one(Choices)
        choices.set_rows([(run.name, _row(run, now)) for run in self._runs])
        choices.display = bool(self._runs)
        self.query_one("#empty").display = not self._runs
        choices.focus()

    def on_choices_chosen(self) -> None:
        index = self.query_one(Choices).index
        if index is not None:
            self.post_message(OpenRun(RunDirectory(self._runs[index].path)))

    def action_back(self) -> None:
        if len(self.app.screen_stack) > 1:
            self.dismiss()


def _read_runs() -> list[RunSummary]:
    from codex_tui.core.runs import list_runs

    return list_runs()


def _row(run: RunSummary, now: float) -> Row:
    steps = f"{run.step:,} / {run.total_steps:,}" if run.total_steps else f"{run.step:,}"
    cells = {
        "state": status_text(run.status),
        "step": Content(steps.rjust(13)),
        "loss": Content(figures.loss(run.loss)),
        "eval": Content(figures.loss(run.eval_loss)),
        "made": line((ago(now - run.created), MUTED)),
    }

    def row(width: int) -> list[Content]:
        shown = [(name, size) for name, size in COLUMNS if width >= WIDE or name in SHORT]
        taken = sum(size + 2 for _, size in shown)
        room = max(10, min(40, width - taken))
        parts: list[Content] = [Content(shorten(clean(run.name), room).ljust(room))]
        parts += [cells[name].pad_right(max(0, size - cells[name].cell_length)) for name, size in shown]
        if run.reason and (left := width - taken - room - 4) > 12:
            parts.append(line((shorten(clean(run.reason), left), MUTED)))
        return [Content("  ").join(parts)]

    return row


def ago(seconds: float) -> str:
    """ "3 min ago"; the finest unit is a minute, so that a list that is read again looks the same."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 48 * 60:
        return f"{minutes // 60} h ago"
    return f"{minutes // (24 * 60)} days ago"
