"""The panes of the cockpit: which of them the screen shows, and where.

The chart and the GPU are there at once. The others are imported after the first paint.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.containers import Container
from textual.widget import Widget

from codex_tui.ui.cockpit.gpu_panel import GpuPanel
from codex_tui.ui.cockpit.loss_chart import LossChart
from codex_tui.ui.kit.hints import Hint
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.runs.watched import WatchedRun
    from codex_tui.ui.cockpit.chat import ChatPane
    from codex_tui.ui.cockpit.log import LogPane
    from codex_tui.ui.cockpit.samples import SamplesPane
    from codex_tui.workers.room import ChatWay

PANES = (("chart", "Loss"), ("gpu", "GPU"), ("samples", "Samples"), ("chat", "Chat"), ("log", "Log"))
MIN_SIZE_FOR_ALL = (100, 30)  # a smaller screen shows one pane and tabs
MIN_SIZE_FOR_LONG_LOG = (160, 48)


class Panes(Container):
    """A grid of all panes, or only the `current` one: in a small terminal, or when it is zoomed."""

    DEFAULT_CSS = """
    Panes#panes { layout: grid; grid-size: 12; grid-rows: 5fr 4fr 7; grid-gutter: 0 1; height: 1fr; }
    Panes#panes > * { border: round $rule; border-title-color: $text-muted; padding: 0 1; }
    Panes#panes > *:focus, Panes#panes > *:focus-within { border: round $primary; border-title-color: $primary; }
    #chart { column-span: 8; }
    #gpu { column-span: 4; }
    #samples, #chat { column-span: 6; }
    #log { column-span: 12; }
    Panes#panes.long-log { grid-rows: 5fr 4fr 14; }
    Panes#panes.one { layout: vertical; }
    Panes#panes.one > * { display: none; height: 1fr; width: 1fr; }
    Panes#panes.one > .current { display: block; }
    Panes#panes.tabs > * { border: none; margin-top: 1; }
    Panes#panes.tabs > #gpu { display: block; }
    Panes#panes.tabs > #gpu.line { dock: bottom; height: 1; margin: 0; }
    Panes#panes.tabs.zoomed > #gpu.line { display: none; }
    """

    def __init__(self, chart: LossChart, gpu: GpuPanel, current: str) -> None:
        super().__init__(chart, gpu, id="panes")
        self.chart, self.gpu, self.current = chart, gpu, current
        self.samples: SamplesPane | None = None  # None until `mount_rest` has ended, as `chat` and `log`
        self.chat: ChatPane | None = None
        self.log_pane: LogPane | None = None

    async def mount_rest(self, run: RunDirectory, *, base: bool, way: ChatWay | None) -> None:
        from codex_tui.ui.cockpit.chat import ChatPane
        from codex_tui.ui.cockpit.log import LogPane
        from codex_tui.ui.cockpit.samples import SamplesPane

        samples, chat, log = SamplesPane(run), ChatPane(run, base=base, way=way), LogPane(run.log)
        await self.mount(samples, chat, log)
        self.samples, self.chat, self.log_pane = samples, chat, log

    def show(self, watched: WatchedRun) -> None:
        self.chart.show(watched)
        self.gpu.show(watched)
        if self.samples and self.chat and self.log_pane:
            self.samples.show(watched.state)
            self.chat.show(watched)
            self.log_pane.poll()

    def fit(self, width: int, height: int, *, zoomed: bool) -> bool:
        """Show all panes if they fit into the screen, else only the current one. Returns whether tabs are needed."""
        tabs = width < MIN_SIZE_FOR_ALL[0] or height < MIN_SIZE_FOR_ALL[1]
        self.set_class(tabs, "tabs")
        self.set_class(zoomed, "zoomed")
        self.set_class(tabs or zoomed, "one")
        self.set_class(width >= MIN_SIZE_FOR_LONG_LOG[0] and height >= MIN_SIZE_FOR_LONG_LOG[1], "long-log")
        for number, (name, title) in enumerate(PANES, 1):
            for pane in self.query(f"#{name}"):
                pane.border_title = f"{number} {self.chart.title if name == 'chart' else title}"
                pane.set_class(name == self.current, "current")
                pane.set_class(tabs and name == "gpu" and self.current != "gpu", "line")
        return tabs

    def find_focusable(self, name: str) -> Widget | None:
        """The widget of the pane `name` that takes the focus; None before the pane is there."""
        for pane in self.query(f"#{name}"):
            inside = [] if pane.can_focus else [node for node in pane.query("*") if node.can_focus]
            return inside[-1] if inside else pane
        return None

    def list_hints(self) -> list[Hint]:
        """The keys of the current pane."""
        return next((pane.hints() for pane in self._list() if pane.id == self.current), [])

    def _list(self) -> Iterator[LossChart | GpuPanel | SamplesPane | ChatPane | LogPane]:
        yield from filter(None, (self.chart, self.gpu, self.samples, self.chat, self.log_pane))
