"""The ways to the data screen and to the editor of its profile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from codex_tui.base.errors import CodexError
from codex_tui.base.text import clean
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.dialogs import DIALOG_CSS, make_key_row
from codex_tui.ui.kit.drawing import MUTED, line
from codex_tui.ui.messages import Trouble

if TYPE_CHECKING:  # pydantic is read after the first paint
    from codex_tui.base.progress import OnProgress, Progress
    from codex_tui.data.target import Target
    from training.contract.run_directory import RunDirectory

QUIET_SECONDS = 1.0  # after which one is told what takes so long
SHOWN_EVERY = 0.5  # seconds


async def open_profile(screen: Screen[Any], path: Path, then: Callable[[Any], Any] | None = None) -> None:
    """From a worker: the rows that a run of the profile at `path` would take."""
    from codex_tui.data.target import Target

    await _open(screen, lambda report: Target.of_profile(path, report=report), then)


async def open_run(screen: Screen[Any], run: RunDirectory) -> None:
    """From a worker: the rows that `run` was started with."""
    from codex_tui.data.target import Target

    await _open(screen, lambda _: Target.of_run(run), None)


async def _open(screen: Screen[Any], find: Callable[[OnProgress], Target], then: Callable[[Any], Any] | None) -> None:
    from codex_tui.ui.data.screen import DataScreen

    try:
        target = await _found(screen, find)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
        return
    if screen.is_current:  # else a person has gone on
        await screen.app.push_screen(DataScreen(target), then)


async def _found(screen: Screen[Any], find: Callable[[OnProgress], Target]) -> Target:
    """In a thread: a dataset of the Hub is fetched first. Raises CodexError, CancelledError."""
    fetching = Fetching(find)
    try:
        await asyncio.wait([fetching.found], timeout=QUIET_SECONDS)
        if fetching.told and not fetching.found.done() and screen.is_current:
            await screen.app.push_screen(fetching)
        return await fetching.found
    finally:
        fetching.found.cancel()
        if fetching.is_active:
            await fetching.dismiss()


class Fetching(ModalScreen[None]):
    """How far the Hub's files are. Escape ends it: what has arrived is kept."""

    DEFAULT_CSS = DIALOG_CSS.format(name="Fetching")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "end", "Stop fetching")]

    def __init__(self, find: Callable[[OnProgress], Target]) -> None:
        super().__init__()
        self.told: Progress | None = None
        self.found = asyncio.ensure_future(asyncio.to_thread(find, self._hear))

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(line(("Looking at the dataset", "bold")))
            yield Static(id="told", markup=False)
            yield make_key_row(("Esc", "cancel"))

    def on_mount(self) -> None:
        self._show()
        self.set_interval(SHOWN_EVERY, self._show)

    def _show(self) -> None:
        if told := self.told:
            bar = figures.draw_progress(told.fraction, 40) if told.total else ""
            share = f"  {figures.compute_percent(told.done, told.total)} %" if told.total else ""
            self.query_one("#told", Static).update(line((clean(told.step), MUTED), "\n", bar, share))

    def action_end(self) -> None:
        self.found.cancel()
        self.dismiss()

    def _hear(self, progress: Progress) -> None:
        """In the thread, which can only be ended from here."""
        if self.found.cancelled():
            raise CodexError("Nobody waits for it any more.")
        self.told = progress
