"""The list of all runs: sorted, filtered, and with a preview of the selected one."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from codex_tui.base import locations
from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean, pluralize
from codex_tui.runs.library import list_names, read_change_time
from codex_tui.ui.kit.choices import Choices
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.hints import TYPING, HintBar
from codex_tui.ui.kit.line_input import LineInput
from codex_tui.ui.kit.title_bar import TitleBar
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import OpenRun, Trouble
from codex_tui.ui.runs.columns import ORDERS, ColumnTitles, make_row, select
from codex_tui.ui.runs.hints import FILTER_HINTS, HINTS, choose_hints
from codex_tui.ui.runs.marks import Marks
from codex_tui.ui.runs.preview import Preview, explain_end
from codex_tui.ui.runs.run_keys import RunKeysScreen
from codex_tui.ui.themes import MAX_CURVES
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.runs.summary import RunSummary

REFRESH_SECONDS = 3.0  # how often the list is read again if it may be outdated
BATCH_SECONDS = 1.0  # a list that takes longer to read is shown in parts
MIN_PREVIEW_HEIGHT = 10  # rows; a lower terminal shows only why the run ended
MIN_DIVIDED_HEIGHT = 30  # rows; a lower terminal shows a preview only if it takes no row from the list


class RunsScreen(RunKeysScreen):
    """The list of runs. Enter opens one in the cockpit, r resumes it."""

    DEFAULT_CSS = """
    RunsScreen > Vertical { border: round $primary; border-title-color: $primary; padding: 0; height: 1fr; }
    RunsScreen > Vertical { border-subtitle-color: $text-muted; }
    RunsScreen #why { padding: 0 2; height: auto; min-height: 2; max-height: 5; }
    RunsScreen #empty { padding: 1 2; height: auto; display: none; }
    RunsScreen #filter { padding: 0 2; display: none; background-tint: $primary 20%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left_square_bracket", "queue('up')", "Start the queued run earlier"),
        Binding("right_square_bracket", "queue('down')", "Start the queued run later"),
        Binding("x", "queue('remove')", "Take the run out of the queue"),
        Binding("slash", "filter", "Filter the runs"),
        Binding("s", "sort(1)", "Sort the runs in another order"),
        Binding("S", "sort(-1)", "Sort the runs in the order before", show=False),
        Binding("space", "mark", "Mark the run for a comparison"),
        Binding("v", "compare", "Compare the marked runs"),
        Binding("n", "change('annotate')", "Write a note to the run"),
        Binding("R", "change('rename')", "Rename the run"),
        Binding("d,delete", "change('delete')", "Delete the run"),
        Binding("c", "change('clean_up')", "Delete the run's checkpoints that no one needs"),
        Binding("ctrl+r", "reload", "Refresh the list of runs"),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._all: list[RunSummary] = []
        self._runs: list[RunSummary] = []  # those that the list shows, in its order
        self._order = ORDERS[0]
        self._total = 0
        self._loading = False
        self._wanted: str | None = None  # the name of the run to select when the list has it
        self._outdated = False  # whether something has changed since the current reading began
        self._marks = Marks()
        self._changed_at = 0.0  # when a run was last added, renamed or deleted

    def compose(self) -> ComposeResult:
        yield TitleBar("Runs", "Enter opens one")
        with Vertical() as box:
            box.border_title = "Runs"
            yield Static(
                line(("No runs yet. Press p for the profiles; Enter there starts training.", MUTED)), id="empty"
            )
            yield ColumnTitles()
            yield Choices(id="runs")
            yield LineInput(id="filter", placeholder="words of a name, state, model, dataset or note")
            yield Static(id="why")
        yield Preview()
        yield HintBar((("Enter", "open"), *HINTS))

    def on_mount(self) -> None:
        self.call_after_refresh(self.action_reload)
        self.set_interval(REFRESH_SECONDS, self._reload_if_outdated)

    def on_resize(self) -> None:
        self._divide_height()

    async def _reload_if_outdated(self) -> None:
        """Read the list again while a run trains, and after another program has added, renamed or deleted one."""
        if self.is_current and (read_change_time() != self._changed_at or any(not run.ended for run in self._all)):
            self.action_reload()

    def action_reload(self, select: str | None = None) -> None:
        self._wanted = select or self._wanted
        if self._loading:
            self._outdated = True
            return
        self._loading, self._outdated = True, False
        start_worker(self, self._load, group="load")

    async def _load(self) -> None:
        """Read all runs in a thread. The first time they are shown as they come; later the old list stays meanwhile."""
        from codex_tui.runs.summaries import summarise_runs, take_batch

        first, runs = not self._all, []
        try:
            self._changed_at = read_change_time()
            self._total = len(names := await asyncio.to_thread(list_names))
            summaries = summarise_runs(names)
            while batch := await asyncio.to_thread(take_batch, summaries, BATCH_SECONDS):
                runs += batch
                if first and self.is_attached:
                    self._all = runs
                    self._show(self._wanted)
            self._all = runs
        except CodexError as error:
            self.post_message(Trouble(error.message, error.hint))
        finally:
            self._loading = False
        if self.is_attached:
            self._show(self._wanted)
            if self._outdated:
                self.action_reload()
            else:
                self._wanted = None

    def _show(self, pick: str | None = None) -> None:
        """Show the runs that the filter lets through, in their order."""
        text = self._filter.value
        self._runs = select(self._all, self._order, text)
        now = time.time()
        choices = self.query_one(Choices)
        if not self._loading:
            self._marks.keep_only({run.name for run in self._all})
        self.query_one(ColumnTitles).show(has_marks=bool(self._marks))
        choices.set_rows([(run.name, make_row(run, now, self._marks.numbers)) for run in self._runs], pick)
        choices.display = self.query_one(ColumnTitles).display = bool(self._all)
        self.query_one("#empty").display = not self._total and not self._loading
        shown = f"{len(self._runs):,} of " if text.strip() else ""
        reading = f", {len(self._all):,} read" if len(self._all) < self._total else ""
        marked = f" · {len(self._marks)} marked" if self._marks else ""
        count = f"{shown}{pluralize(self._total, 'run')}{reading}{marked}"
        self.query_one(Vertical).border_subtitle = f"{count} · {self._order.name}" if self._total else ""
        self._divide_height()
        if not self._filter.has_focus and not choices.has_focus:
            choices.focus()

    def _divide_height(self) -> None:
        """Give the list the rows that it needs, up to half of the screen, and the rest to the preview."""
        height = self.size.height
        room = max(len(self._runs), 3) + 3 + self._filter.display  # the border and the titles of the columns
        top = min(room, height // 2)
        is_half_empty = height >= MIN_DIVIDED_HEIGHT or room <= top
        has_room = bool(self._all) and is_half_empty and height - 2 - top >= MIN_PREVIEW_HEIGHT
        self.query_one(Preview).display = has_room
        self.query_one("#why").display = not has_room
        self.query_one(Vertical).styles.height = top if has_room else "1fr"

    @property
    def _filter(self) -> Input:
        return self.query_one("#filter", Input)

    @property
    def _picked_run(self) -> RunSummary | None:
        index = self.query_one(Choices).index
        return None if index is None else self._runs[index]

    def find_run(self) -> RunDirectory | None:
        return RunDirectory(run.path) if (run := self._picked_run) else None

    def explain_no_resume(self) -> str:
        from codex_tui.runs.outcome import explain_no_resume

        return explain_no_resume(run.status, run.broken) if (run := self._picked_run) else ""

    def show_changes(self) -> None:
        self.action_reload()

    def _find_neighbour(self) -> str | None:
        """Return the name of the run to select when the selected one is gone."""
        index = self.query_one(Choices).index or 0
        others = self._runs[index + 1 : index + 2] or self._runs[:index][-1:]
        return others[0].name if others else None

    def on_choices_moved(self) -> None:
        run = self._picked_run
        self.query_one("#why", Static).update(explain_end(run) if run else "")
        self._show_hints()
        self.query_one(Preview).show(run)

    def _show_hints(self) -> None:
        bar = self.query_one(HintBar)
        if self._filter.has_focus:
            bar.show(FILTER_HINTS, TYPING)
            return
        run = self._picked_run
        request = RunDirectory(run.path).read_stop_request() if run and not run.ended else None
        bar.show(choose_hints(run, len(self._marks), request))

    def on_choices_chosen(self) -> None:
        if run := self.find_run():
            self.post_message(OpenRun(run))

    def action_sort(self, steps: int) -> None:
        self._order = ORDERS[(ORDERS.index(self._order) + steps) % len(ORDERS)]
        self._show()

    def action_filter(self) -> None:
        self._filter.display = True
        self._filter.focus()
        self._divide_height()

    def on_input_changed(self) -> None:
        self._show()

    def on_input_submitted(self) -> None:
        self._filter.display = bool(self._filter.value.strip())
        self.query_one(Choices).focus()
        self._divide_height()

    def on_descendant_focus(self) -> None:
        self._show_hints()

    def action_back(self) -> None:
        """Escape first ends the filter, then removes the marks, then closes the screen."""
        if self._filter.display:
            self._filter.value = ""
            self._filter.display = False
            self.query_one(Choices).focus()
            self._show()
        elif self._marks:
            self._marks.clear()
            self._show()
        elif len(self.app.screen_stack) > 1:
            self.dismiss()

    def action_mark(self) -> None:
        """Mark the selected run, or take its mark away, and select the next run."""
        if (run := self._picked_run) and not self._marks.toggle(run.name):
            self.notify(f"At most {MAX_CURVES} runs fit in one comparison.", markup=False)
        elif run:
            self._show()
            self.query_one(Choices).action_move(1)

    def action_compare(self) -> None:
        if len(self._marks) < 2:
            self.notify("Mark two or more runs with the space bar first.", markup=False)
            return
        from codex_tui.ui.compare.screen import ComparisonScreen

        runs = [RunDirectory(locations.runs_home() / name) for name in self._marks.names]
        self.app.push_screen(ComparisonScreen(runs))

    def action_queue(self, to: Literal["up", "down", "remove"]) -> None:
        if (run := self._picked_run) and run.position:
            start_worker(self, partial(self._queue, RunDirectory(run.path), to), group="queue")
        elif run:
            self.notify(f"{clean(run.name)} is not queued.", markup=False)

    async def _queue(self, run: RunDirectory, to: Literal["up", "down", "remove"]) -> None:
        from codex_tui.ui.runs import queued

        await (queued.remove(self, run) if to == "remove" else queued.move(self, run, to))
        self.action_reload(run.name)

    def action_change(self, kind: str) -> None:
        if run := self._picked_run:
            start_worker(self, partial(self._change, kind, run), group="change", exclusive=True)

    async def _change(self, kind: str, run: RunSummary) -> None:
        from codex_tui.ui.runs import change

        directory, pick = RunDirectory(run.path), None
        if kind == "rename":
            pick = await change.rename(self, directory)
            if pick:
                self._marks.rename(run.name, pick)
        elif kind == "annotate":
            await change.annotate(self, run)
        elif kind == "delete":
            neighbour = self._find_neighbour()
            pick = neighbour if await change.delete(self, directory) else None
        else:
            await change.clean_up(self, directory)
        self.action_reload(pick)
