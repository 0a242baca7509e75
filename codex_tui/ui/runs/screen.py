"""The list of all runs, newest first."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen
from textual.strip import Strip
from textual.widgets import Static

from codex_tui.base.text import clean, shorten
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.choices import MARGIN, Choices, DrawEntry
from codex_tui.ui.kit.drawing import MUTED, line, to_strips
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.kit.painted import Painted
from codex_tui.ui.kit.title_bar import TitleBar
from codex_tui.ui.messages import OpenRun, ReportsWorkerErrors, Trouble
from codex_tui.ui.runs.status import format_status
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.runs.summary import RunSummary

HINTS = (("Esc", "back"), ("p", "profiles"), ("↑ ↓", "choose"), ("ctrl+r", "refresh"))
COLUMNS = (("state", 13), ("step", 15), ("loss", 8), ("eval", 8), ("started", 13))
REFRESH_SECONDS = 3.0  # how often the list is read again while a run trains
STEP_WIDTH = 13  # steps are aligned to the right in this width
NARROW_COLUMNS = ("state", "step", "loss", "started")  # the columns of a narrow screen
WIDE = 90  # from this width on all columns are shown


class Columns(Painted):
    """The row with the names of the columns."""

    DEFAULT_CSS = """
    Columns { height: 1; }
    """

    def paint(self, width: int, height: int) -> list[Strip]:
        columns, room = _choose_columns(width - MARGIN)
        names = [
            "run".ljust(room),
            *((name.rjust(STEP_WIDTH) if name == "step" else name).ljust(size) for name, size in columns),
        ]
        return to_strips(self, [line((" " * 2 + "  ".join(names), MUTED))], width, height)


class RunsScreen(ReportsWorkerErrors, Screen[None]):
    """The list of runs. Enter opens one in the cockpit, r resumes it."""

    DEFAULT_CSS = """
    RunsScreen > Vertical { border: round $primary; border-title-color: $primary; padding: 0; }
    RunsScreen #why { padding: 0 2; height: auto; min-height: 2; max-height: 5; }
    RunsScreen #empty { padding: 1 2; height: auto; display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "resume", "Resume the run"),
        Binding("ctrl+r", "reload", "Refresh the list of runs"),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._runs: list[RunSummary] = []

    def compose(self) -> ComposeResult:
        yield TitleBar("Runs", "newest first; Enter opens one")
        with Vertical() as box:
            box.border_title = "Runs"
            yield Static(
                line(("No runs yet. Press p for the profiles; Enter there starts training.", MUTED)), id="empty"
            )
            yield Columns()
            yield Choices(id="runs")
            yield Static(id="why")
        yield HintBar((("Enter", "open"), *HINTS))

    def on_mount(self) -> None:
        self.call_after_refresh(self.action_reload)
        self.set_interval(REFRESH_SECONDS, self._reload_while_one_trains)

    async def _reload_while_one_trains(self) -> None:
        if self.is_current and any(not run.ended for run in self._runs):
            await self.action_reload()

    async def action_reload(self) -> None:
        from codex_tui.base.errors import CodexError

        try:
            self._runs = await asyncio.to_thread(_read_runs)
        except CodexError as error:
            self.post_message(Trouble(error.message, error.hint))
        now = time.time()
        choices = self.query_one(Choices)
        choices.set_rows([(run.name, _make_row(run, now)) for run in self._runs])
        choices.display = self.query_one(Columns).display = bool(self._runs)
        self.query_one("#empty").display = not self._runs
        choices.focus()

    @property
    def _picked_run(self) -> RunSummary | None:
        index = self.query_one(Choices).index
        return None if index is None else self._runs[index]

    def on_choices_moved(self) -> None:
        run = self._picked_run
        self.query_one("#why", Static).update(_explain_end(run) if run else "")
        resume = (("r", "resume"),) if run and run.resume_step is not None else ()
        self.query_one(HintBar).show((("Enter", "open"), *resume, *HINTS))

    def on_choices_chosen(self) -> None:
        if run := self._picked_run:
            self.post_message(OpenRun(RunDirectory(run.path)))

    def action_resume(self) -> None:
        from codex_tui.runs.outcome import explain_no_resume

        if (run := self._picked_run) is None:
            return
        if reason := explain_no_resume(run.status, run.broken):
            self.notify(clean(reason), markup=False)
        else:
            self.run_worker(self._resume(RunDirectory(run.path)), exit_on_error=False)

    async def _resume(self, run: RunDirectory) -> None:
        from codex_tui.ui.runs.resume import resume

        await resume(self, run)
        await self.action_reload()

    def action_back(self) -> None:
        if len(self.app.screen_stack) > 1:
            self.dismiss()


def _read_runs() -> list[RunSummary]:
    from codex_tui.runs.library import list_runs

    return list_runs()


def _explain_end(run: RunSummary) -> Content:
    """Why the run ended, and what the user can do about it."""
    remedy = "" if run.remedy in run.reason else run.remedy
    return Content("\n").join([Content(clean(run.reason)), line((clean(remedy), MUTED))])


def _make_row(run: RunSummary, now: float) -> DrawEntry:
    steps = f"{run.step:,} / {run.total_steps:,}" if run.total_steps else f"{run.step:,}"
    cells = {
        "state": format_status(run.status),
        "step": Content(steps.rjust(STEP_WIDTH)),
        "loss": Content(figures.format_loss(run.loss)),
        "eval": Content(figures.format_loss(run.eval_loss)),
        "started": line((format_age(now - run.created), MUTED)),
    }

    def row(width: int) -> list[Content]:
        columns, room = _choose_columns(width)
        parts: list[Content] = [Content(shorten(clean(run.name), room).ljust(room))]
        parts += [cells[name].pad_right(max(0, size - cells[name].cell_length)) for name, size in columns]
        free = width - sum(part.cell_length + 2 for part in parts)
        if run.remark and free > 12:
            parts.append(line((shorten(clean(run.remark), free), MUTED)))
        return [Content("  ").join(parts)]

    return row


def _choose_columns(width: int) -> tuple[list[tuple[str, int]], int]:
    """The columns that fit into `width`, each with its width, and the width of the run's name before them."""
    columns = [(name, size) for name, size in COLUMNS if width >= WIDE or name in NARROW_COLUMNS]
    return columns, max(10, min(40, width - sum(size + 2 for _, size in columns)))


def format_age(seconds: float) -> str:
    """Format `seconds` as "3 min ago". The finest unit is a minute, so that a refreshed list rarely changes."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 48 * 60:
        return f"{minutes // 60} h ago"
    return f"{minutes // (24 * 60)} days ago"
