"""The screen that compares runs. It reads them in parts, between which the keyboard works, and follows live ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen

from codex_tui.base import bandwidth
from codex_tui.base.text import clean, pluralize
from codex_tui.runs.comparability import name_by_letter
from codex_tui.runs.comparison import ComparedRun, Results, RunFiles, compare, find_results, read_files
from codex_tui.runs.follower import HISTORY_BUDGET, RunFollower
from codex_tui.ui.compare.chart import RunsChart, ShownRun
from codex_tui.ui.compare.table import ComparisonTable
from codex_tui.ui.kit.hints import Hint, HintBar
from codex_tui.ui.kit.title_bar import TitleBar
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import ReportsWorkerErrors

if TYPE_CHECKING:
    from training.contract.run_directory import RunDirectory

REFRESH_TICKS = 2  # live runs are read once in this many ticks: nobody compares runs by the second
LAYOUTS = ("both", "chart", "table")
FRAME_WIDTH, FRAME_HEIGHT = 4, 2  # cells of a box around its content


class ComparisonScreen(ReportsWorkerErrors, Screen[None]):
    DEFAULT_CSS = """
    ComparisonScreen > Vertical { border: round $rule; border-title-color: $text-muted; padding: 0 1; height: 1fr; }
    ComparisonScreen > Vertical { border-subtitle-color: $warning; }
    ComparisonScreen.chart #results { display: none; }
    ComparisonScreen.table #curves { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "curve", "Loss or evaluation loss of the runs"),
        Binding("x", "x_axis", "Curves over steps, time or tokens"),
        Binding("g", "log_scale", "Scale of the chart"),
        Binding("z", "zoom", "Only the chart, only the table, both"),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self, runs: Sequence[RunDirectory]) -> None:
        super().__init__()
        self._followers = [RunFollower(run) for run in runs]
        letters = name_by_letter(len(runs))
        self._shown = [ShownRun(letter, clean(run.name)) for letter, run in zip(letters, runs, strict=True)]
        self._files: dict[int, RunFiles] = {}  # those that are read
        self._changed = set(range(len(runs)))  # the runs whose files are read next
        self._is_reading = False
        self._results: list[Results | None] = [None] * len(runs)  # None: to be found again
        self._layout = 0

    def compose(self) -> ComposeResult:
        yield TitleBar("Comparison", pluralize(len(self._shown), "run"))
        with Vertical(id="curves"):
            yield RunsChart(self._shown)
        with Vertical(id="results") as box:
            box.border_title = "Settings that differ, and results"
            yield ComparisonTable([run.letter for run in self._shown])
        yield HintBar()

    def on_mount(self) -> None:
        self.query_one(ComparisonTable).focus()
        self._show()
        self._read_files()
        self.call_after_refresh(self._read_history)
        self.set_interval(REFRESH_TICKS * bandwidth.pace.tick, self._tick)

    def _read_files(self) -> None:
        if self._changed and not self._is_reading:
            self._is_reading = True
            start_worker(self, self._read_changed)

    async def _read_changed(self) -> None:
        """Read the files of the changed runs in a thread, since judgements and adapters are large."""
        try:
            while self._changed and self.is_attached:
                number = self._changed.pop()
                self._files[number] = await asyncio.to_thread(read_files, self._followers[number].run)
                self._results[number] = None
        finally:
            self._is_reading = False
        if self.is_attached:
            self._show()

    def _read_history(self) -> None:
        """Read a part of the runs, and call again for the rest. The first look at a long run gives a sample of it."""
        if not self.is_attached:
            return
        pending = [number for number, follower in enumerate(self._followers) if not follower.complete]
        changed = [self._poll(number, HISTORY_BUDGET / len(pending)) for number in pending]
        if any(changed):
            self._show()
        if not all(follower.complete for follower in self._followers):
            self.call_after_refresh(self._read_history)

    def _tick(self) -> None:
        if not self.is_current or not all(follower.complete for follower in self._followers):
            return
        changed = [number for number in range(len(self._followers)) if self._poll(number)]
        if changed:
            self._changed.update(changed)
            self._show()
            self._read_files()

    def _poll(self, number: int, budget: float = HISTORY_BUDGET) -> bool:
        follower = self._followers[number]
        if not follower.poll(budget):
            return False
        self._shown[number].watched, self._results[number] = follower.watched, None
        return True

    def _show(self) -> None:
        chart = self.query_one(RunsChart)
        chart.repaint()
        self._compare()
        unread = sum(not follower.complete for follower in self._followers)
        box = self.query_one("#curves", Vertical)
        box.border_title = f"{chart.title} · reading {unread} of {len(self._shown)} …" if unread else chart.title
        self._show_hints()

    def _compare(self) -> None:
        """Fill the table. The results of a run stay unknown until all its events are read."""
        if len(self._files) < len(self._followers):
            return
        compared = []
        for number, follower in enumerate(self._followers):
            watched, files = follower.watched, self._files[number]
            if self._results[number] is None and follower.complete:
                self._results[number] = find_results(watched, files)
            results = self._results[number] or Results(watched.status)
            compared.append(ComparedRun(follower.run.name, files.settings, results))
        comparison = compare(compared)
        self.query_one(ComparisonTable).show(comparison)
        self._divide_height()
        subjects = ", ".join(reason.subject[0].lower() + reason.subject[1:] for reason in comparison.reasons)
        box = self.query_one("#curves", Vertical)
        box.border_subtitle = Content(f"! not comparable: {clean(subjects)}") if subjects else ""

    def on_resize(self) -> None:
        self._divide_height()

    def _divide_height(self) -> None:
        """Give the table the rows that it needs, up to half of the screen, and the rest to the chart."""
        table, box = self.query_one(ComparisonTable), self.query_one("#results")
        needed = table.count_lines(self.size.width - FRAME_WIDTH) + FRAME_HEIGHT
        half = (self.size.height - 2) // 2  # without the title and the hints
        box.styles.height = "1fr" if LAYOUTS[self._layout] == "table" else min(needed, half)

    def _show_hints(self) -> None:
        chart, table = self.query_one(RunsChart), self.query_one(ComparisonTable)
        following = LAYOUTS[(self._layout + 1) % len(LAYOUTS)]
        zoom: Hint = ("z", following if following == "both" else f"{following} only")
        shown = LAYOUTS[self._layout]
        hints = [*(chart.hints() if shown != "table" else ()), zoom, *(table.hints() if shown != "chart" else ())]
        self.query_one(HintBar).show([*hints, ("Esc", "back")])

    def on_hints_changed(self) -> None:
        self._show_hints()

    def action_curve(self) -> None:
        self.query_one(RunsChart).cycle_curve()
        self._show()

    def action_x_axis(self) -> None:
        self.query_one(RunsChart).cycle_x_axis()
        self._show()

    def action_log_scale(self) -> None:
        self.query_one(RunsChart).cycle_scale()
        self._show()

    def action_zoom(self) -> None:
        self.remove_class(LAYOUTS[self._layout])
        self._layout = (self._layout + 1) % len(LAYOUTS)
        self.add_class(LAYOUTS[self._layout])
        self._divide_height()
        self._show_hints()

    def action_back(self) -> None:
        if len(self.app.screen_stack) > 1:
            self.dismiss()
