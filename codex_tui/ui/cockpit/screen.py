"""The cockpit: one run with its header, losses, GPU, samples, chat and log. All data comes from the run directory.

The screen must open quickly, so it first paints the header, the loss chart and the GPU, and then imports the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import DescendantFocus

from codex_tui.base import bandwidth
from codex_tui.base.text import clean
from codex_tui.runs.facts import read_facts
from codex_tui.runs.follower import HISTORY_BUDGET, RunFollower
from codex_tui.runs.outcome import describe_newer_events, explain_no_resume
from codex_tui.ui.cockpit.banner import Banner
from codex_tui.ui.cockpit.gpu_panel import GpuPanel
from codex_tui.ui.cockpit.header import RunHeader
from codex_tui.ui.cockpit.hints import choose_hints
from codex_tui.ui.cockpit.loss_chart import LossChart
from codex_tui.ui.cockpit.panes import PANES, Panes
from codex_tui.ui.kit.hints import ALWAYS, TYPING, HintBar
from codex_tui.ui.kit.tabs import TabStrip
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import CockpitClosed, RunChanged
from codex_tui.ui.runs.run_keys import RunKeysScreen
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.runs.watched import WatchedRun
    from codex_tui.workers.room import ChatWay

FIRST_READ_BUDGET = 0.02  # seconds to read events before the first paint, so that it has a curve
LIVE_SAMPLE_TICKS, IDLE_SAMPLE_TICKS = 2, 10  # ticks between two readings of the GPU


class CockpitScreen(RunKeysScreen):
    """Shows one run, live or ended. `pane` is focused first. `base` starts the chat with the base model; `chat_way`
    says how it answers while the run trains."""

    DEFAULT_CSS = """
    CockpitScreen { background: $background; }
    CockpitScreen.tabs TabStrip { display: block; }
    """
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        *[Binding(str(number), f"pane('{pane}')", name, show=False) for number, (pane, name) in enumerate(PANES, 1)],
        Binding("c", "pane('chat')", "Chat"),
        Binding("l", "pane('log')", "Log"),
        Binding("d", "rows", "Dataset rows or answers", show=False),
        Binding("D", "data", "Show the run's dataset"),
        Binding("z", "zoom", "Zoom, and back"),
        Binding("g", "log_scale", "Scale of the chart"),
        Binding("x", "x_axis", "Loss over steps, time or tokens"),
        Binding("y", "curve", "Loss, learning rate, gradient norm, speed, memory"),
        Binding("s", "stop", "Stop the run"),
        Binding("i", "details", "Details of the run"),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(
        self, run: RunDirectory, pane: str | None = None, *, base: bool = False, chat_way: ChatWay | None = None
    ) -> None:
        super().__init__()
        self.run_directory = run
        self.follower = RunFollower(run)
        self.follower.poll(FIRST_READ_BUDGET)
        self._base, self._chat_way = base, chat_way
        self._facts = read_facts(run)
        self._ticks = 0
        self._panes = Panes(LossChart(run, self.watched), GpuPanel(self._facts.device), pane or "chart")

    def compose(self) -> ComposeResult:
        yield RunHeader(self._facts)
        yield Banner(self.run_directory)
        yield TabStrip(PANES)
        yield self._panes
        yield HintBar()

    def on_mount(self) -> None:
        self._arrange()
        self._show()
        self.call_after_refresh(self._load_rest)

    def _load_rest(self) -> None:
        self._read_history()
        self.call_after_refresh(self._mount_rest)

    async def _mount_rest(self) -> None:
        if not self.is_attached:
            return
        await self._panes.mount_rest(self.run_directory, base=self._base, way=self._chat_way)
        self._show()
        self.action_pane(self._panes.current)
        self.set_interval(bandwidth.pace.tick, self._tick)
        self._sample_gpu()
        if self.live:
            start_worker(self, self._show_last_start)

    async def _show_last_start(self) -> None:
        from codex_tui.runs.loading_time import find_last_start

        times = await asyncio.to_thread(find_last_start, self.run_directory)
        if times and self.is_attached:
            self.query_one(RunHeader).show_last_start(times)

    @property
    def watched(self) -> WatchedRun:
        return self.follower.watched

    def find_run(self) -> RunDirectory:
        return self.run_directory

    def show_changes(self) -> None:
        self._show_hints()

    def explain_no_resume(self) -> str:
        return explain_no_resume(self.watched.status, self.watched.leftovers.broken)

    @property
    def live(self) -> bool:
        return not self.watched.ended

    def _read_history(self) -> None:
        if not self.is_attached:  # the user has left the screen already
            return
        if self.follower.poll(HISTORY_BUDGET):
            self._show()
        if not self.follower.complete:
            self.call_after_refresh(self._read_history)

    def _tick(self) -> None:
        self._ticks += 1
        if self.follower.complete and self.follower.poll():
            self._show()
        if self.watched.engine and self.watched.ended:
            self.query_one(Banner).show_fetch()
        if self._panes.log_pane:
            self._panes.log_pane.poll()
        if self._ticks % (LIVE_SAMPLE_TICKS if self.live else IDLE_SAMPLE_TICKS) == 0:
            self._sample_gpu()

    def _sample_gpu(self) -> None:
        """Read the GPU in a worker, so that a driver that hangs does not block the screen."""
        start_worker(self, partial(self._panes.gpu.sample, self.live), group="gpu")

    def _show(self) -> None:
        watched = self.watched
        if watched.state.resolved is not None and not (self._facts.config and self._facts.config.actual):
            self._facts = read_facts(self.run_directory)
        self.query_one(RunHeader).show(self._facts, watched)
        self.query_one(Banner).show(
            watched, self._facts.newer or describe_newer_events(self._facts.name, watched.state)
        )
        self._panes.show(watched)
        self._show_hints()
        if self.follower.complete:
            self.post_message(RunChanged(self.run_directory, watched))

    def on_unmount(self) -> None:
        if self.live and self.follower.complete:
            self.app.post_message(CockpitClosed(self.follower))

    async def free_workers(self) -> None:
        """End the processes that hold a tokenizer or a model; returns once their memory is free."""
        if self._panes.samples:
            await self._panes.samples.reader.close()
        if self._panes.chat:
            await self._panes.chat.conversation.close()
            self._panes.chat.gap.give_back()

    @property
    def reason_to_stay(self) -> str:
        """Why the app should not go to another screen: the run is parked for the chat. "" if it is not."""
        parked = self._panes.chat is not None and self._panes.chat.gap.parks_run
        return (
            f"{clean(self.run_directory.name)} is parked for the chat. Leave the chat first, with Esc."
            if parked
            else ""
        )

    def ask_and_quit(self) -> None:
        self._leave_chat("quit, and resume the run", self.app.exit)

    def _leave_chat(
        self, action: str, then: Callable[[], object], otherwise: Callable[[], object] | None = None
    ) -> None:
        """Ask whether the run may resume, if it is parked for the chat. Then call `then`, or else `otherwise`."""

        async def ask() -> None:
            if not self._panes.chat or await self._panes.chat.gap.ask_to_leave(action):
                then()
            elif otherwise:
                otherwise()

        start_worker(self, ask, group="leave", exclusive=True)

    def on_resize(self) -> None:
        self._arrange()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        pane = next((node.id for node in event.widget.ancestors_with_self if node.id in dict(PANES)), None)
        if pane:
            self._watch_chat(pane)
            self._panes.current = pane
            self._arrange()
        self._show_hints()

    def _watch_chat(self, pane: str) -> None:
        """Ask whether the run may resume when the focus goes from the chat to `pane`."""
        has_card = self._panes.chat is not None and self._panes.chat.gap.has_card
        if self._panes.current == "chat" and pane != "chat" and has_card:
            self._leave_chat("resume the run", self._show_hints, lambda: self.action_pane("chat"))

    def on_descendant_blur(self) -> None:
        self._show_hints()

    def on_hints_changed(self) -> None:
        self._show_hints()

    def on_tab_strip_picked(self, message: TabStrip.Picked) -> None:
        self.action_pane(message.pane)

    def _arrange(self) -> None:
        tabs = self._panes.fit(*self.size, zoomed=self.has_class("zoomed"))
        self.set_class(tabs, "tabs")
        self.query_one(TabStrip).show(self._panes.current)

    def _show_hints(self) -> None:
        typing = self.focused is not None and self.focused.check_consume_key("a", "a")
        own, current, zoomed = self._panes.list_hints(), self._panes.current, self.has_class("zoomed")
        request = self.run_directory.read_stop_request() if self.live else None
        keys = choose_hints(own, current, self.watched, typing=typing, zoomed=zoomed, request=request)
        self.query_one(HintBar).show(keys, TYPING if typing else ALWAYS)

    def action_pane(self, name: str) -> None:
        self._watch_chat(name)
        self._panes.current = name
        self._arrange()
        if focusable := self._panes.find_focusable(name):
            self.set_focus(focusable)
        self._show_hints()

    async def action_rows(self) -> None:
        """Show dataset rows in the samples pane. That pane binds the same key while it has the focus."""
        if self._panes.samples:
            self.action_pane("samples")
            await self._panes.samples.action_toggle_rows()

    def action_data(self) -> None:
        from codex_tui.ui.data.open import open_run

        start_worker(self, partial(open_run, self, self.run_directory), group="data", exclusive=True)

    def action_zoom(self) -> None:
        self.toggle_class("zoomed")
        self._arrange()
        self._show_hints()

    def action_back(self) -> None:
        if self.has_class("zoomed"):
            self.action_zoom()
        elif self.reason_to_stay:
            leave = self.dismiss if len(self.app.screen_stack) > 1 else lambda: self.action_pane("chart")
            self._leave_chat("resume the run", leave)
        elif len(self.app.screen_stack) > 1:
            self.dismiss()

    def action_log_scale(self) -> None:
        self._panes.chart.cycle_scale()
        self._show_hints()

    def action_x_axis(self) -> None:
        self._panes.chart.cycle_x_axis()
        self._show_hints()

    def action_curve(self) -> None:
        self._panes.chart.cycle_curve()
        self._arrange()
        self._show_hints()

    def action_details(self) -> None:
        from codex_tui.ui.cockpit.details import DetailsScreen

        self.app.push_screen(DetailsScreen(self.run_directory, self._facts, self.watched))

    def action_stop(self) -> None:
        from codex_tui.ui.runs.stop import ask_to_stop

        start_worker(self, partial(ask_to_stop, self, self.run_directory, self.watched))
