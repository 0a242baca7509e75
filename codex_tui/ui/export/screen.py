"""The exports of a run: a list of the kinds, and what was exported with its proof."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import Screen

from codex_tui.base import bandwidth
from codex_tui.base.errors import BadInput
from codex_tui.base.text import clean, clean_text
from codex_tui.export.plan import DEFAULT_QUANT, ORIGINAL, TRAINED, parse_quants
from codex_tui.export.results import ExportResult, Exports, read_exports
from codex_tui.ui.export.text import NAMES, draw_details, draw_entry, format_lines
from codex_tui.ui.export.work import ExportWork, Request
from codex_tui.ui.kit.choices import Choices
from codex_tui.ui.kit.dialogs import Ask, Confirm, Options
from codex_tui.ui.kit.drawing import line
from codex_tui.ui.kit.heading import Heading
from codex_tui.ui.kit.hints import ALWAYS, Hint, HintBar
from codex_tui.ui.kit.text_view import TextView
from codex_tui.ui.kit.title_bar import TitleBar
from codex_tui.ui.kit.work import draw_work
from codex_tui.ui.kit.worker import start_worker
from codex_tui.ui.messages import HoldsModels, ReportsWorkerErrors
from training.contract.run_directory import RunDirectory

LINES = 2
"""The lines of an entry in the list."""
GGUF_TEXT = "The types of the files, separated by commas: q4_k_m is small, q8_0 and f16 are larger and more exact."
BASE_TEXT = (
    "The run loads its base model in 4 bits. The adapter was trained on these weights: unpacked to 16 bits, they give "
    "the answers of the run, and nothing is downloaded. The original 16-bit weights are finer, but new to the adapter, "
    "and may be downloaded first. The proof shows the difference."
)


class ExportScreen(ReportsWorkerErrors, Screen[None]):
    DEFAULT_CSS = """
    ExportScreen > Vertical { border: round $rule; border-title-color: $text-muted; padding: 0 1; height: 1fr; }
    ExportScreen > Vertical:focus-within { border: round $primary; border-title-color: $primary; }
    ExportScreen > #kinds { height: 10; padding: 0; }
    ExportScreen #work { padding: 0 1; display: none; dock: bottom; margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "copy_lines", "Copy the lines that use the export"),
        Binding("r", "go_on", "Go on with the export that was stopped"),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self.run_directory = run
        self.work = ExportWork(run, self._work_changed)
        self._exports: Exports | None = None  # None until the records are read

    def compose(self) -> ComposeResult:
        yield TitleBar("Export", clean(self.run_directory.name))
        with Vertical(id="kinds") as box:
            box.border_title = "Take the model elsewhere"
            yield Choices(id="list", lines=LINES)
        with Vertical(id="details"):
            yield TextView(id="text")
        yield Heading(id="work")
        yield HintBar()

    def on_mount(self) -> None:
        self.query_one(Choices).focus()
        self.call_after_refresh(self._reload)
        self.set_interval(bandwidth.pace.tick, self._show_work)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    def _reload(self) -> None:
        start_worker(self, self._read, group="read", exclusive=True)

    async def _read(self) -> None:
        self._exports = exports = await asyncio.to_thread(read_exports, self.run_directory)
        if self.is_attached:
            rows = [(result.kind, partial(draw_entry, result)) for result in exports.results]
            self.query_one(Choices).set_rows(rows)
            self._show()

    @property
    def picked(self) -> ExportResult | None:
        index = self.query_one(Choices).index
        return self._exports.results[index] if self._exports and index is not None else None

    def on_choices_moved(self) -> None:
        self._show()

    def _show(self) -> None:
        if self.is_attached and self._exports and (picked := self.picked):
            self.query_one("#details").border_title = NAMES[picked.kind]
            text = self.query_one("#text", TextView)
            text.set_text(draw_details(self._exports, picked, self.run_directory.name))
            self._show_work()
            self._show_hints()

    def _show_work(self) -> None:
        work, tracker = self.query_one("#work", Heading), self.work.tracker
        work.display = bool(tracker or self.work.stopped)
        if tracker:
            work.show(draw_work(tracker, "Esc stops", self.app.size.width), Content(""))
        elif self.work.stopped:
            text = "The export was stopped. Its finished steps are kept: r goes on."
            work.show(line((text, "$warning")), Content(""))

    def _work_changed(self) -> None:
        if self.is_attached:
            self._show_work()
            self._show_hints()

    def _show_hints(self) -> None:
        tracker, picked = self.work.tracker, self.picked
        keys: list[Hint] = [("r", "go on")] if self.work.stopped and not tracker else []
        if picked and not tracker:
            keys.append(("Enter", "export" if picked.state == "missing" else "export again"))
        if picked and picked.state in ("proven", "unproven", "failed"):
            keys += [("y", "copy the lines"), ("Tab", "read the text")]
        self.query_one(HintBar).show([*keys, ("Esc", "stop" if tracker else "back")], ALWAYS)

    def on_choices_chosen(self) -> None:
        picked = self.picked
        if self.work.tracker or not picked:
            return
        if picked.kind in ("gguf", "ollama"):
            title = f"Export {clean(self.run_directory.name)} as {NAMES[picked.kind]}"
            self.app.push_screen(Ask(title, GGUF_TEXT, "export", DEFAULT_QUANT, _check_quants), self._choose_base)
        else:
            self._choose_base("")

    def _choose_base(self, quants: str | None) -> None:
        """Ask for the base weights if the run loads them in 4 bits, then export. `quants` of None: the person has
        cancelled."""
        picked = self.picked
        if quants is None or picked is None or self._exports is None:
            return
        request = Request(picked.kind, parse_quants(quants.split(",")) if quants else ())
        if picked.kind == "adapter" or not self._exports.loads_4bit:
            self._start(request)
            return
        keys = {"t": TRAINED, "o": ORIGINAL}

        def start(key: str | None) -> None:
            if key:
                self._start(Request(request.kind, request.quants, keys[key]))

        options = (("t", "trained weights (Enter)"), ("o", "original"))
        self.app.push_screen(Options("Which base weights?", BASE_TEXT, options, "cancel"), start)

    def _start(self, request: Request | None) -> None:
        if request:
            start_worker(self, partial(self._export, request), group="export", exclusive=True)

    async def _export(self, request: Request) -> None:
        for screen in self.app.screen_stack:
            if isinstance(screen, HoldsModels):  # the proof's models need their memory
                await screen.free_workers()
        try:
            await self.work.export(request)
        finally:
            if self.is_attached:
                self._reload()

    def action_go_on(self) -> None:
        if self.work.stopped and not self.work.tracker:
            self._start(self.work.request)

    def action_copy_lines(self) -> None:
        if self._exports and (picked := self.picked) and picked.state in ("proven", "unproven", "failed"):
            lines = format_lines(self._exports, picked, self.run_directory.name)
            self.app.copy_to_clipboard(clean_text(lines))
            self.notify("The lines are copied.", markup=False)

    def action_back(self) -> None:
        if self.work.tracker:
            self._ask_to_stop("Stop the export?", "stop", "go on")
        elif len(self.app.screen_stack) > 1:
            self.dismiss()

    @property
    def reason_to_stay(self) -> str:
        return "An export runs. Stop it (Esc) or let it end first." if self.work.tracker else ""

    def ask_and_quit(self) -> None:
        self._ask_to_stop("An export runs. Quit?", "stop and quit", "stay", then=self.app.exit)

    def _ask_to_stop(self, title: str, action: str, cancel: str, then: Callable[[], object] = lambda: None) -> None:
        def stop(is_wanted: bool | None) -> None:
            if is_wanted:
                self.work.stop()
                then()

        text = "Its finished steps are kept: it can go on from there later."
        self.app.push_screen(Confirm(title, text, action, cancel), stop)


def _check_quants(text: str) -> str:
    try:
        parse_quants(text.split(","))
    except BadInput as error:
        return f"{error.message} {error.hint}"
    return ""
