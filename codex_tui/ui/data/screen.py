"""The data screen: the rows of a dataset, raw and as the model sees them, and an overview of all rows."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content

from codex_tui.base import bandwidth
from codex_tui.base.text import clean
from codex_tui.data.filter import Kind
from codex_tui.data.target import Target
from codex_tui.data.view import DataView
from codex_tui.ui.data.edit import edit_profile, reload_target, save_changes
from codex_tui.ui.data.hints import list_hints
from codex_tui.ui.data.lengths import describe_count, name_purpose
from codex_tui.ui.data.prompt_bar import PromptBar, Question
from codex_tui.ui.data.row_pane import PANES, TOKEN_PANES, RowPane
from codex_tui.ui.data.row_view import RowView
from codex_tui.ui.data.text import FILTERS, draw_row, draw_title, explain_empty_list
from codex_tui.ui.data.xray import describe_measurement
from codex_tui.ui.kit.heading import Heading
from codex_tui.ui.kit.hints import ALWAYS, TYPING, HintBar
from codex_tui.ui.kit.row_list import RowList
from codex_tui.ui.kit.stoppable import HoldsWork, StoppableWork
from codex_tui.ui.kit.tabs import TabStrip
from codex_tui.ui.kit.title_bar import TitleBar
from codex_tui.ui.kit.work import draw_work
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.lengths.screen import Changes, LengthsScreen
from codex_tui.ui.messages import ReportsWorkerErrors

MIN_WIDTH_BESIDE = 100  # columns; a narrower terminal shows either the list or the row


class DataScreen(ReportsWorkerErrors, HoldsWork):
    WORK, RESULTS = "measurement", "losses"
    DEFAULT_CSS = """
    DataScreen #rows { border: round $rule; border-title-color: $text-muted; border-subtitle-color: $text-muted; }
    DataScreen #rows:focus { border: round $primary; border-title-color: $primary; }
    DataScreen #rows { width: 2fr; max-width: 70; }
    DataScreen.one #right { display: none; margin: 0; }
    DataScreen.one #rows { max-width: 100%; width: 1fr; }
    DataScreen.one.reading #rows { display: none; }
    DataScreen.one.reading #right { display: block; width: 1fr; }
    DataScreen #work { padding: 0 1; display: none; dock: bottom; margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *[Binding(str(number), f"pane('{pane}')", name, show=False) for number, (pane, name) in enumerate(PANES, 1)],
        Binding("v", "next_view", "Next view: model, raw or tokens"),
        Binding("i", "numbers", "Show or hide token ids"),
        Binding("slash", "ask('search')", "Search the rows"),
        Binding("g,colon", "ask('go')", "Go to a row"),
        Binding("f", "next_filter", "Next filter"),
        Binding("a", "filter('all')", "All rows"),
        Binding("b", "filter('bad')", "Bad rows"),
        Binding("c", "filter('cut')", "Cut rows"),
        Binding("l", "filter('longest')", "The longest rows first"),
        Binding("d", "filter('duplicates')", "Duplicates"),
        Binding("w", "filter('worst')", "X-ray: the worst-learned rows first"),
        Binding("x", "measure", "X-ray: measure the rows"),
        Binding("left_square_bracket", "limit(-1)", "Try a shorter max_seq_length"),
        Binding("right_square_bracket", "limit(1)", "Try a longer max_seq_length"),
        Binding("equals_sign", "ask('limit')", "Try another max_seq_length"),
        Binding("backspace", "limit(0)", "The profile's own max_seq_length"),
        Binding("left,h", "step(-1)", "Previous row", show=False),
        Binding("right", "step(1)", "Next row", show=False),
        Binding("m", "lengths", "Compare every max_seq_length"),
        Binding("e", "edit", "Edit the profile"),
        Binding("t", "tokenise", "Start or stop counting tokens"),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self, target: Target) -> None:
        super().__init__()
        self.view = DataView(target, self._changed)
        self.work = StoppableWork(self._changed)
        self._update_pending = False  # the next paint shows all changes since the last one
        self._lengths: LengthsScreen | None = None  # is above this screen

    def compose(self) -> ComposeResult:
        yield TitleBar("Data", "")
        with Horizontal():
            yield RowList(lambda place: draw_row(self.view, place), self._moved, id="rows")
            yield RowPane(is_of_run=self.view.target.run is not None)
        yield Heading(id="work")
        yield PromptBar(self._prompt_closed)
        yield HintBar()

    def on_mount(self) -> None:
        self.query_one(RowList).focus()
        self._arrange()
        self._show()
        start_worker(self, self.view.start, group="data")
        self.set_interval(bandwidth.pace.tick, self._show_work)  # a measurement does not say when it goes on

    async def on_unmount(self) -> None:
        await self.view.close()

    def on_resize(self) -> None:
        self._arrange()
        self.call_after_refresh(self._show)

    def _arrange(self) -> None:
        self.set_class(self.app.size.width < MIN_WIDTH_BESIDE, "one")

    @property
    def row_pane(self) -> RowPane:
        return self.query_one(RowPane)

    @property
    def reading(self) -> bool:
        """Whether the row fills the screen."""
        return self.has_class("one") and self.has_class("reading")

    def _changed(self) -> None:
        if self._lengths:
            self._lengths.show(describe_count(self.view))
        if self.is_attached and not self._update_pending:
            self._update_pending = True
            self.call_after_refresh(self._show_once)

    def _show_once(self) -> None:
        self._update_pending = False
        if self.is_attached:
            self._show()

    def _show(self) -> None:
        view = self.view
        rows, count, place = self.query_one(RowList), len(view.rows.listed), view.rows.place
        rows.show(count, place, explain_empty_list(view))
        rows.border_title = Content(
            f"Rows: {FILTERS[view.rows.kind]}" + (f" with “{clean(view.rows.needle)}”" if view.rows.needle else "")
        )
        rows.border_subtitle = Content(f"{place + 1:,} of {count:,}" if count else "")
        self.query_one(TitleBar).show("Data", draw_title(view))
        self.row_pane.show(view)
        self._show_bottom()

    def _show_work(self) -> None:
        work, works = self.query_one("#work", Heading), self.view.works
        name = next((name for name in ("searching", "indexing", "tokenising", "scanning") if name in works), None)
        tracker = self.work.tracker or (works[name] if name else None)
        work.display = tracker is not None and not self.prompt.kind
        if tracker:
            keys = {"searching": "Esc stops", "tokenising": "t stops"}.get(name or "", "")
            keys = "Esc stops" if self.work.tracker else keys
            work.show(draw_work(tracker, keys, self.size.width), Content(""))

    def _show_bottom(self) -> None:
        """Updates the rows below the panes: the work in progress, and the key hints."""
        self._show_work()
        self._show_hints()

    @property
    def prompt(self) -> PromptBar:
        return self.query_one(PromptBar)

    def action_ask(self, kind: Question) -> None:
        self.prompt.open(kind, self.view)
        self._show_bottom()

    def _prompt_closed(self) -> None:
        self.query_one(RowView if self.reading else RowList).focus()
        self._show_bottom()

    def _show_hints(self) -> None:
        focused_row = self.query_one(RowView).has_focus
        alone, leads_back = self.has_class("one"), len(self.app.screen_stack) > 1
        measures, pane = self.work.tracker is not None, self.row_pane.pane
        keys = list_hints(self.view, pane, self.prompt.kind, focused_row, alone, leads_back, measures)
        self.query_one(HintBar).show(keys, TYPING if self.prompt.kind else ALWAYS)

    def on_descendant_focus(self) -> None:
        self._show_hints()

    def _moved(self, place: int) -> None:
        if place < len(self.view.rows.listed):
            self.view.rows.current = self.view.rows.listed[place]
        self.call_later(self._go_to_current)

    async def _go_to_current(self) -> None:
        await self.view.rows.go_to(self.view.rows.current)

    def on_row_list_chosen(self) -> None:
        self.add_class("reading")
        self.query_one(RowView).focus()
        self._changed()

    def on_tab_strip_picked(self, message: TabStrip.Picked) -> None:
        start_worker(self, lambda: self.action_pane(message.pane))

    async def action_pane(self, pane: str) -> None:
        self.row_pane.pane = pane
        if self.has_class("one") and not self.has_class("reading"):
            self.on_row_list_chosen()
        await self.view.set_ids(pane in TOKEN_PANES)
        self._show()

    async def action_next_view(self) -> None:
        await self.action_pane(self.row_pane.find_next_pane())

    async def action_numbers(self) -> None:
        pane = self.row_pane
        has_tokens = pane.pane in TOKEN_PANES
        pane.numbered = not pane.numbered if has_tokens else True
        await self.action_pane(pane.pane if has_tokens else "tokens")

    async def action_filter(self, kind: Kind) -> None:
        self.view.rows.filter(kind)
        if kind == "worst":
            await self._show_xray()

    async def _show_xray(self) -> None:
        """Shows the X-ray of the row, once there is one."""
        if self.view.rows.xray or not self.view.rows.xray_known:
            self.row_pane.pane = "xray"
            await self.view.set_ids(True)

    async def action_next_filter(self) -> None:
        kinds = self.view.kinds
        await self.action_filter(kinds[(kinds.index(self.view.rows.kind) + 1) % len(kinds)])

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only the rows of a run can be measured."""
        return self.view.target.run is not None or (action != "measure" and parameters not in (("worst",), ("xray",)))

    def action_measure(self) -> None:
        xray = self.view.rows.xray
        if xray and xray.is_current:
            self.notify(f"Nothing is left to measure: {describe_measurement(xray)}.", markup=False)
        elif not self.work.tracker:
            start_worker(self, self._measure, group="measure", exclusive=True)

    async def _measure(self) -> None:
        from codex_tui.ui.data.measuring import measure

        if run := self.view.target.run:
            await self.free_workers_of_screens()
            try:
                await measure(self.work, run)
            finally:  # what was measured before it was stopped is shown, too
                if self.is_attached:
                    await self.view.read_xray()
                    await self._show_xray()

    async def action_limit(self, steps: int) -> None:
        if self.view.target.profile:
            await self.view.set_limit(self.view.next_limit(steps) if steps else self.view.own_limit)

    async def action_step(self, rows: int) -> None:
        await self.view.rows.go_to_place(self.view.rows.place + rows)

    def action_edit(self) -> None:
        """Opens the editor with the max_seq_length of this screen as an unsaved change."""
        edit_profile(self, self.view.target.path, self.view.changes, self._on_edited)

    def action_lengths(self) -> None:
        view, purpose = self.view, name_purpose(self.view)
        self._lengths = LengthsScreen(view.target, describe_count(view), purpose, view.changes, self.action_tokenise)
        self.app.push_screen(self._lengths, self._use_length)

    def _use_length(self, changes: Changes | None) -> None:
        self._lengths = None
        if changes is not None:
            save_changes(self, self.view.target.path, changes, self._on_edited)

    async def _on_edited(self, name: str | None) -> None:
        """Reads the rows again with the edited profile."""
        if target := await reload_target(self.view.target, name):
            before, self.view = self.view, DataView(target, self._changed)
            self.view.rows.current, self.view.ids = before.rows.current, before.ids
            await before.close()
            self._show()
            start_worker(self, self.view.start, group="data")

    async def action_tokenise(self) -> None:
        if "tokenising" in self.view.works:
            await self.view.cancel()
        else:
            await self.view.tokenise()

    async def action_back(self) -> None:
        if self.prompt.kind:
            self.prompt.cancel()
        elif "searching" in self.view.works:
            await self.view.cancel()
        elif self.work.tracker:
            self.ask_to_stop()
        elif self.reading or self.query_one(RowView).has_focus:
            self.remove_class("reading")
            self.query_one(RowList).focus()
            self._changed()
        elif self.view.rows.needle:
            self.view.rows.search("")
        elif len(self.app.screen_stack) > 1:
            self.dismiss()
