"""The cockpit: one run with its header, losses, GPU, samples, chat and log. All data comes from the run directory.

The screen must open quickly, so it first paints the header, the loss chart and the GPU, and then imports the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import DescendantFocus
from textual.screen import Screen

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
from codex_tui.ui.kit.hints import ALWAYS, TYPING, Hint, HintBar
from codex_tui.ui.kit.tabs import TabStrip
from codex_tui.ui.messages import CockpitClosed, ReportsWorkerErrors, RunChanged
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.runs.watched import WatchedRun
    from codex_tui.ui.cockpit.chat import ChatPane
    from codex_tui.ui.cockpit.log import LogPane
    from codex_tui.ui.cockpit.samples import SamplesPane
    from codex_tui.workers.room import ChatWay

PANES = (("chart", "Loss"), ("gpu", "GPU"), ("samples", "Samples"), ("chat", "Chat"), ("log", "Log"))
FIRST_READ_BUDGET = 0.02  # seconds to read events before the first paint, so that it has a curve
LIVE_SAMPLE_TICKS, IDLE_SAMPLE_TICKS = 2, 10  # ticks between two readings of the GPU
MIN_SIZE_FOR_ALL = (100, 30)  # a smaller screen shows one pane and tabs
MIN_SIZE_FOR_LONG_LOG = (160, 48)


class CockpitScreen(ReportsWorkerErrors, Screen[None]):
    """Shows one run, live or ended. `pane` is focused first. `base` starts the chat with the base model; `chat_way`
    says how it answers while the run trains."""

    DEFAULT_CSS = """
    CockpitScreen { background: $background; }
    #panes { layout: grid; grid-size: 12; grid-rows: 5fr 4fr 7; grid-gutter: 0 1; height: 1fr; }
    #panes > * { border: round $rule; border-title-color: $text-muted; padding: 0 1; }
    #panes > *:focus, #panes > *:focus-within { border: round $primary; border-title-color: $primary; }
    #chart { column-span: 8; }
    #gpu { column-span: 4; }
    #samples, #chat { column-span: 6; }
    #log { column-span: 12; }
    CockpitScreen.long-log #panes { grid-rows: 5fr 4fr 14; }
    CockpitScreen.tabs TabStrip { display: block; }
    CockpitScreen.one #panes { layout: vertical; }
    CockpitScreen.one #panes > * { display: none; height: 1fr; width: 1fr; }
    CockpitScreen.one #panes > .current { display: block; }
    CockpitScreen.tabs #panes > * { border: none; margin-top: 1; }
    CockpitScreen.tabs #panes > #gpu { display: block; }
    CockpitScreen.tabs #panes > #gpu.line { dock: bottom; height: 1; margin: 0; }
    CockpitScreen.tabs.zoomed #panes > #gpu.line { display: none; }
    """
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        *[Binding(str(number), f"pane('{pane}')", name, show=False) for number, (pane, name) in enumerate(PANES, 1)],
        Binding("c", "pane('chat')", "Chat"),
        Binding("l", "pane('log')", "Log"),
        Binding("d", "rows", "Dataset rows or answers", show=False),
        Binding("D", "data", "Show the run's dataset"),
        Binding("J", "judge", "Judgement of the run"),
        Binding("E", "export", "Export the run's model"),
        Binding("Y", "copy_python", "Copy the Python that loads the adapter"),
        Binding("P", "copy_push", "Copy the command that pushes the adapter"),
        Binding("z", "zoom", "Zoom, and back"),
        Binding("g", "log_scale", "Scale of the chart"),
        Binding("x", "x_axis", "Loss over steps, time or tokens"),
        Binding("y", "curve", "Loss, learning rate, gradient norm, speed, memory"),
        Binding("s", "stop", "Stop the run"),
        Binding("L", "park", "Lend the card, and bring the run back"),
        Binding("r", "resume", "Resume the run"),
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
        self._current = pane or "chart"
        self._base, self._chat_way = base, chat_way
        self._facts = read_facts(run)
        self._ticks = 0
        self._first_panes = (LossChart(run, self.watched), GpuPanel(self._facts.device))
        self._later_panes: tuple[SamplesPane, ChatPane, LogPane] | None = None

    def compose(self) -> ComposeResult:
        yield RunHeader(self._facts)
        yield Banner(self.run_directory)
        yield TabStrip(PANES)
        yield Container(*self._first_panes, id="panes")
        yield HintBar()

    def on_mount(self) -> None:
        self._arrange()
        self._show()
        self.call_after_refresh(self._load_rest)

    def _load_rest(self) -> None:
        self._read_history()
        self.call_after_refresh(self._mount_rest)

    async def _mount_rest(self) -> None:
        from codex_tui.ui.cockpit.chat import ChatPane
        from codex_tui.ui.cockpit.log import LogPane
        from codex_tui.ui.cockpit.samples import SamplesPane

        if not self.is_attached:
            return
        run = self.run_directory
        rest = (SamplesPane(run), ChatPane(run, base=self._base, way=self._chat_way), LogPane(run.log))
        await self.query_one("#panes").mount(*rest)
        self._later_panes = rest
        self._show()
        self.action_pane(self._current)
        self.set_interval(bandwidth.pace.tick, self._tick)
        self._sample_gpu()
        if self.live and self.watched.state.last is None:
            self.run_worker(self._show_last_loading(), exit_on_error=False)

    async def _show_last_loading(self) -> None:
        from codex_tui.runs.loading_time import find_last_loading_time

        seconds = await asyncio.to_thread(find_last_loading_time, self.run_directory)
        if seconds is not None and self.is_attached:
            self.query_one(RunHeader).show_last_loading(seconds)

    @property
    def watched(self) -> WatchedRun:
        return self.follower.watched

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
        if self._later_panes:
            self._later_panes[2].poll()
        if self._ticks % (LIVE_SAMPLE_TICKS if self.live else IDLE_SAMPLE_TICKS) == 0:
            self._sample_gpu()

    def _sample_gpu(self) -> None:
        """Read the GPU in a worker, so that a driver that hangs does not block the screen."""
        self.run_worker(self._first_panes[1].sample(self.live), group="gpu", exit_on_error=False)

    def _show(self) -> None:
        watched = self.watched
        if watched.state.resolved is not None and not (self._facts.config and self._facts.config.actual):
            self._facts = read_facts(self.run_directory)
        self.query_one(RunHeader).show(self._facts, watched)
        self.query_one(Banner).show(
            watched, self._facts.newer or describe_newer_events(self._facts.name, watched.state)
        )
        for panel in self._first_panes:
            panel.show(watched)
        if self._later_panes:
            samples, chat, log = self._later_panes
            samples.show(watched.state)
            chat.show(watched)
            log.poll()
        self._show_hints()
        if self.follower.complete:
            self.post_message(RunChanged(self.run_directory, watched))

    def on_unmount(self) -> None:
        if self.live and self.follower.complete:
            self.app.post_message(CockpitClosed(self.follower))

    async def free_workers(self) -> None:
        """End the processes that hold a tokenizer or a model; returns once their memory is free."""
        if self._later_panes:
            samples, chat, _ = self._later_panes
            await samples.reader.close()
            await chat.conversation.close()
            chat.gap.give_back()

    @property
    def reason_to_stay(self) -> str:
        """Why the app should not go to another screen: the run is parked for the chat. "" if it is not."""
        parked = self._later_panes is not None and self._later_panes[1].gap.parks_run
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
            if not self._later_panes or await self._later_panes[1].gap.ask_to_leave(action):
                then()
            elif otherwise:
                otherwise()

        self.run_worker(ask(), group="leave", exclusive=True, exit_on_error=False)

    def on_resize(self) -> None:
        self._arrange()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        pane = next((node.id for node in event.widget.ancestors_with_self if node.id in dict(PANES)), None)
        if pane:
            self._watch_chat(pane)
            self._current = pane
            self._arrange()
        self._show_hints()

    def _watch_chat(self, pane: str) -> None:
        """Ask whether the run may resume when the focus goes from the chat to `pane`."""
        has_card = self._later_panes is not None and self._later_panes[1].gap.has_card
        if self._current == "chat" and pane != "chat" and has_card:
            self._leave_chat("resume the run", self._show_hints, lambda: self.action_pane("chat"))

    def on_descendant_blur(self) -> None:
        self._show_hints()

    def on_hints_changed(self) -> None:
        self._show_hints()

    def on_tab_strip_picked(self, message: TabStrip.Picked) -> None:
        self.action_pane(message.pane)

    def _arrange(self) -> None:
        """Show all panes if they fit, else only the current one. A zoomed screen shows only the current one."""
        width, height = self.size
        tabs = width < MIN_SIZE_FOR_ALL[0] or height < MIN_SIZE_FOR_ALL[1]
        self.set_class(tabs, "tabs")
        self.set_class(tabs or self.has_class("zoomed"), "one")
        self.set_class(width >= MIN_SIZE_FOR_LONG_LOG[0] and height >= MIN_SIZE_FOR_LONG_LOG[1], "long-log")
        for number, (name, title) in enumerate(PANES, 1):
            for pane in self.query(f"#{name}"):
                pane.border_title = f"{number} {self._first_panes[0].title if name == 'chart' else title}"
                pane.set_class(name == self._current, "current")
                pane.set_class(tabs and name == "gpu" and self._current != "gpu", "line")
        self.query_one(TabStrip).show(self._current)

    def _show_hints(self) -> None:
        typing = self.focused is not None and self.focused.check_consume_key("a", "a")
        panes = (*self._first_panes, *(self._later_panes or ()))
        own: list[Hint] = next((pane.hints() for pane in panes if pane.id == self._current), [])
        status, broken = self.watched.status, self.watched.leftovers.broken
        keys = choose_hints(own, self._current, status, broken, typing, self.has_class("zoomed"))
        self.query_one(HintBar).show(keys, TYPING if typing else ALWAYS)

    def action_pane(self, name: str) -> None:
        self._watch_chat(name)
        self._current = name
        self._arrange()
        for pane in self.query(f"#{name}"):
            inside = [] if pane.can_focus else [node for node in pane.query("*") if node.can_focus]
            self.set_focus(inside[-1] if inside else pane)
        self._show_hints()

    async def action_rows(self) -> None:
        """Show dataset rows in the samples pane. That pane binds the same key while it has the focus."""
        if self._later_panes:
            self.action_pane("samples")
            await self._later_panes[0].action_toggle_rows()

    def action_data(self) -> None:
        from codex_tui.ui.data.open import open_run

        self.run_worker(open_run(self, self.run_directory), group="data", exclusive=True, exit_on_error=False)

    def action_judge(self) -> None:
        from codex_tui.ui.judge.screen import JudgeScreen

        self.app.push_screen(JudgeScreen(self.run_directory))

    def action_export(self) -> None:
        from codex_tui.ui.export.screen import ExportScreen

        self.app.push_screen(ExportScreen(self.run_directory))

    def action_copy_python(self) -> None:
        from codex_tui.ui.runs.copying import copy_python

        copy_python(self, self.run_directory)

    def action_copy_push(self) -> None:
        from codex_tui.ui.runs.copying import copy_push

        copy_push(self, self.run_directory)

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
        self._first_panes[0].cycle_scale()
        self._show_hints()

    def action_x_axis(self) -> None:
        self._first_panes[0].cycle_x_axis()
        self._show_hints()

    def action_curve(self) -> None:
        self._first_panes[0].cycle_curve()
        self._arrange()
        self._show_hints()

    def action_details(self) -> None:
        from codex_tui.ui.cockpit.details import DetailsScreen

        self.app.push_screen(DetailsScreen(self.run_directory, self._facts, self.watched))

    def action_stop(self) -> None:
        from codex_tui.ui.runs.stop import ask_to_stop

        self.run_worker(ask_to_stop(self, self.run_directory, self.watched), exit_on_error=False)

    def action_park(self) -> None:
        from codex_tui.ui.runs.park import park_or_bring_back

        self.run_worker(park_or_bring_back(self, self.run_directory), exit_on_error=False)

    def action_resume(self) -> None:
        from codex_tui.ui.runs.resume import resume

        if reason := explain_no_resume(self.watched.status, self.watched.leftovers.broken):
            self.notify(clean(reason), markup=False)
        else:
            self.run_worker(resume(self, self.run_directory), exit_on_error=False)
