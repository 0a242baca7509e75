"""The lengths screen: what each max_seq_length keeps of the rows, and what it costs. A person picks one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from codex_tui.base.text import clean, pluralize
from codex_tui.ui.forecast.bar import ForecastBar
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.kit.heading import Heading
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.kit.title_bar import TitleBar
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.lengths.chart import ChartContent, LengthChart
from codex_tui.ui.lengths.length_list import LengthList
from codex_tui.ui.lengths.text import (
    describe_share,
    draw_details,
    draw_notes,
    draw_summary,
    draw_table,
    explain_missing,
    list_hints,
)
from codex_tui.ui.messages import ReportsWorkerErrors

if TYPE_CHECKING:  # pydantic is imported after the first paint
    from codex_tui.data.check import CountedRows, TokenCount
    from codex_tui.data.length_options import LengthOption, LengthOptions
    from codex_tui.data.target import Target
    from codex_tui.machine.forecast import LengthForecasts

Changes = dict[str, Any]  # the fields of the profile to change, and their values
LENGTH, LONG_ROWS = "model.max_seq_length", "dataset.long_rows"
MIN_SIZE_BORDERS = (100, 30)  # columns and rows; a smaller terminal has no room for borders
MIN_WIDTH_DETAILS = 116
MIN_WIDTH_WORDS = 160
MIN_HEIGHT_BAR = 34
MIN_WIDTH_ONE_LINE = 140  # the legend of the forecast bar needs one row
MIN_CHART_ROWS = 6


class LengthsScreen(ReportsWorkerErrors, Screen["Changes | None"]):
    """Compares the lengths for the rows and the profile of `target`. Returns the fields to change, which can be none;
    None on Escape.

    The caller counts the tokens, and calls `show` when there is something new. `toggle_count` starts or stops the
    count. `purpose` says what Enter does with the length; where it is "", nothing can be done with it. `changes` are
    the values to begin with.
    """

    DEFAULT_CSS = """
    LengthsScreen #summary { padding: 0 1; }
    LengthsScreen #message { padding: 1 2; height: 1fr; }
    LengthsScreen LengthList { padding: 0 1; }
    LengthsScreen LengthChart { padding: 0 1; }
    LengthsScreen #details { display: none; padding: 0 1; }
    LengthsScreen #notes { height: auto; padding: 0 1; }
    LengthsScreen ForecastBar { display: none; padding: 0 1; }
    LengthsScreen.empty #body, LengthsScreen.empty #notes, LengthsScreen.empty #summary { display: none; }
    LengthsScreen #message { display: none; }
    LengthsScreen.empty #message { display: block; }
    LengthsScreen.borders LengthChart, LengthsScreen.borders LengthList, LengthsScreen.borders #details {
        border: round $rule; border-title-color: $text-muted;
    }
    LengthsScreen.borders LengthList:focus { border: round $primary; border-title-color: $primary; }
    LengthsScreen.details #details { display: block; width: 50; height: 1fr; margin-left: 1; }
    LengthsScreen.bar ForecastBar {
        display: block; height: 7; border: round $rule; border-title-color: $text-muted;
    }
    LengthsScreen.oneline ForecastBar { height: 6; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "use", "Use this max_seq_length"),
        Binding("d", "switch_long_rows", "Cut or drop longer rows"),
        Binding("f", "pick_fitting", "The longest length that fits"),
        Binding("backspace", "pick_own", "The profile's own length"),
        Binding("equals_sign", "ask_length", "Another length"),
        Binding("t", "tokenise", "Start or stop counting tokens"),
        Binding("escape", "dismiss(None)", "Back", show=False),
    ]

    def __init__(
        self,
        target: Target,
        count: TokenCount,
        purpose: str,
        changes: Changes | None = None,
        toggle_count: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        super().__init__()
        self.choice: LengthOptions | None = None
        self._target, self._count, self._purpose, self._toggle_count = target, count, purpose, toggle_count
        self._profile = target.settings  # with the `long_rows` that a person has switched to
        self._picked: int = (changes or {}).get(LENGTH, self._profile.model.max_seq_length)
        self._others = {self._picked}
        self._set_long_rows((changes or {}).get(LONG_ROWS, self._profile.dataset.long_rows))
        self._speed: float | None = None
        self._speed_known = False
        self._forecasts: LengthForecasts | None = None  # of the lengths of `choice`

    def compose(self) -> ComposeResult:
        yield TitleBar("Lengths", "")
        yield Heading(id="summary")
        yield Static(id="message", markup=False)
        with Horizontal(id="body"):
            with Vertical():
                yield LengthChart()
                yield LengthList(self._moved)
            yield Static(id="details", markup=False)
        yield Static(id="notes", markup=False)
        yield ForecastBar(id="memory")
        yield HintBar()

    def on_mount(self) -> None:
        self.query_one(LengthChart).border_title = "Rows by their length in tokens"
        self.query_one(LengthList).border_title = "Lengths"
        self.query_one("#details").border_title = "The picked length"
        self.query_one("#memory").border_title = "Memory"
        self.query_one(LengthList).focus()
        self._show()
        self._compare()

    def on_resize(self) -> None:
        self._show()

    def show(self, count: TokenCount) -> None:
        """Shows how far the count is. Compares the lengths when all rows are counted."""
        before, self._count = self._count.rows, count
        if not self.is_attached:
            return
        if count.rows and (before is None or before.lengths is not count.rows.lengths):
            self._compare()
        self._show()

    def _compare(self) -> None:
        if self._count.rows and self._count.rows.lengths.tokens:
            start_worker(self, partial(self._compare_all, self._count.rows), group="compare", exclusive=True)

    async def _compare_all(self, rows: CountedRows) -> None:
        from codex_tui.data.length_options import compare_lengths
        from codex_tui.data.speed import find_last_speed
        from codex_tui.machine.forecast import forecast_lengths

        profile, path = self._profile, self._target.path
        if not self._speed_known:
            self._speed, self._speed_known = await asyncio.to_thread(find_last_speed, profile, path), True
        choice = await asyncio.to_thread(
            compare_lengths, rows.scan, rows.lengths, profile, self._speed, frozenset(self._others)
        )
        if self.choice and self.choice.lengths != choice.lengths:
            self._forecasts = None
        if self._forecasts is None:
            self._set_choice(choice)
            file = path or (self._target.run.profile if self._target.run else Path())
            self._forecasts = await asyncio.to_thread(forecast_lengths, profile, file, choice.lengths, use_title=True)
        self._set_choice(choice.with_memory(self._forecasts))

    def _set_choice(self, choice: LengthOptions) -> None:
        self.choice = choice
        self._show()

    @property
    def option(self) -> LengthOption | None:
        """The picked length with its figures."""
        if self.choice is None:
            return None
        return min(self.choice.options, key=lambda option: abs(option.max_seq_length - self._picked))

    @property
    def changes(self) -> Changes:
        """The fields that differ from the profile."""
        if (option := self.option) is None:
            return {}
        own, long_rows = self._target.settings, self._profile.dataset.long_rows
        changes: Changes = {}
        if option.max_seq_length != own.model.max_seq_length:
            changes[LENGTH] = option.max_seq_length
        if long_rows != own.dataset.long_rows:
            changes[LONG_ROWS] = long_rows
        return changes

    def _show(self) -> None:
        """Draws everything. It is cheap: only the cells that differ are sent."""
        self._show_title()
        choice, option = self.choice, self.option
        self.set_class(option is None, "empty")
        if choice and option and self._count.rows:
            self._arrange()
            headings, rows = draw_table(choice, with_words=self.size.width >= MIN_WIDTH_WORDS)
            self.query_one(LengthList).show(headings, rows, choice.options.index(option))
            self._size_list(len(headings) + len(rows))
            ordered = self._count.rows.lengths.ordered
            self.query_one(LengthChart).show(
                ChartContent(ordered, choice.lengths, option.max_seq_length, describe_share(option))
            )
            self.query_one("#summary", Heading).show(draw_summary(option, choice), Content(""))
            own = self._target.settings.dataset.long_rows
            self.query_one("#details", Static).update(Content("\n").join(draw_details(option, choice, own)))
            self.query_one("#notes", Static).update(Content("\n").join(draw_notes(choice)))
            self._show_memory(choice, option)
        else:
            self.query_one("#message", Static).update(explain_missing(self._count, self.size.width))
        self.query_one(HintBar).show(list_hints(choice, self._purpose, self._next_long_rows, self._count.by_key))

    def _arrange(self) -> None:
        width, height = self.app.size
        self.set_class(width >= MIN_SIZE_BORDERS[0] and height >= MIN_SIZE_BORDERS[1], "borders")
        self.set_class(width >= MIN_WIDTH_DETAILS and height >= MIN_SIZE_BORDERS[1], "details")
        self.set_class(width >= MIN_SIZE_BORDERS[0] and height >= MIN_HEIGHT_BAR, "bar")
        self.set_class(width >= MIN_WIDTH_ONE_LINE, "oneline")

    def _size_list(self, lines: int) -> None:
        """Gives the list its lines, and the chart the rest."""
        borders = 2 if self.has_class("borders") else 0
        room = self.query_one("#body").size.height or self.size.height - 6
        self.query_one(LengthList).styles.height = max(4, min(lines + borders, room - MIN_CHART_ROWS - borders))

    def _show_title(self) -> None:
        rows = pluralize(self._count.rows.scan.kept, "row") if self._count.rows else ""
        self.query_one(TitleBar).show("Lengths", line((clean(self._target.describe(rows)), MUTED)))

    def _show_memory(self, choice: LengthOptions, option: LengthOption) -> None:
        bar = self.query_one(ForecastBar)
        if option.memory:
            bar.show(option.memory, choice.card)
        else:
            bar.show_reason(choice.no_memory or "Estimating memory …")

    def _moved(self, index: int) -> None:
        if self.choice:
            self._picked = self.choice.lengths[index]
            self._show()

    def _pick(self, length: int | None) -> None:
        if length is not None:
            self._picked = length
            self._show()

    def action_pick_fitting(self) -> None:
        self._pick(self.choice.longest_fitting if self.choice else None)

    def action_pick_own(self) -> None:
        self._pick(self._target.settings.model.max_seq_length)

    @property
    def _next_long_rows(self) -> str:
        """What the key changes `long_rows` to: cut or drop, or the profile's own refuse."""
        settings = ["cut", "drop", *(["refuse"] if self._target.settings.dataset.long_rows == "refuse" else [])]
        return settings[(settings.index(self._profile.dataset.long_rows) + 1) % len(settings)]

    def action_switch_long_rows(self) -> None:
        self._set_long_rows(self._next_long_rows)
        self._compare()

    def _set_long_rows(self, long_rows: str) -> None:
        self._profile = self._profile.with_value(LONG_ROWS, long_rows)

    def action_ask_length(self) -> None:
        if self.choice:
            start_worker(self, self._ask_length, group="ask", exclusive=True)

    async def _ask_length(self) -> None:
        from codex_tui.profiles.fields import explain_invalid_input
        from codex_tui.profiles.schema import read_schema
        from codex_tui.ui.kit.dialogs import Ask

        field = read_schema()[LENGTH]
        text = await self.app.push_screen_wait(
            Ask("Another length", "max_seq_length, in tokens", "compare", "", partial(explain_invalid_input, field))
        )
        if text:
            self._picked = int(text, 0)
            self._others.add(self._picked)
            self._compare()

    async def action_tokenise(self) -> None:
        if self._toggle_count and self._count.by_key:
            await self._toggle_count()

    def action_use(self) -> None:
        if self.choice and self._purpose:
            self.dismiss(self.changes)
