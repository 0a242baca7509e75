"""Opens the data screen for a profile or a run, after it has downloaded the dataset if necessary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
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

if TYPE_CHECKING:  # importing pydantic here would delay the first paint
    from codex_tui.base.progress import OnProgress, Progress
    from codex_tui.data.target import Target
    from training.contract.run_directory import RunDirectory

QUIET_SECONDS = 1.0  # a longer search shows its progress
REFRESH_SECONDS = 0.5  # between two updates of the progress


async def open_profile(
    screen: Screen[Any], path: Path, names: Sequence[str] = (), then: Callable[[Any], Any] | None = None
) -> None:
    """Opens the rows that a run of the profile at `path` would use, or those of the datasets `names`. Call it in a
    worker.

    `then` is called when the data screen closes.
    """
    from codex_tui.data.target import Target

    await _open(screen, lambda report: Target.from_profile(path, names, report=report), then)


async def open_run(screen: Screen[Any], run: RunDirectory) -> None:
    """Opens the rows with which `run` was started. Call it in a worker."""
    from codex_tui.data.target import Target

    await _open(screen, lambda _: Target.from_run(run), None)


async def _open(screen: Screen[Any], find: Callable[[OnProgress], Target], then: Callable[[Any], Any] | None) -> None:
    from codex_tui.ui.data.screen import DataScreen

    try:
        target = await _find_target(screen, find)
    except CodexError as error:
        screen.post_message(Trouble(error.message, error.hint))
        return
    if screen.is_current:  # otherwise a person has opened another screen meanwhile
        await screen.app.push_screen(DataScreen(target), then)


async def _find_target(screen: Screen[Any], find: Callable[[OnProgress], Target]) -> Target:
    """Calls `find` in a thread, because it may download a dataset. Shows the progress if it takes long.

    Raises CodexError if `find` does, and CancelledError if a person cancels.
    """
    fetching = Fetching(find)
    try:
        await asyncio.wait([fetching.download], timeout=QUIET_SECONDS)
        if fetching.progress and not fetching.download.done() and screen.is_current:
            await screen.app.push_screen(fetching)
        return await fetching.download
    finally:
        fetching.download.cancel()
        if fetching.is_active:
            await fetching.dismiss()


class Fetching(ModalScreen[None]):
    """Shows the progress of a download from the Hub. Escape cancels it; the downloaded part is kept."""

    DEFAULT_CSS = DIALOG_CSS.format(name="Fetching")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "end", "Stop the download")]

    def __init__(self, find: Callable[[OnProgress], Target]) -> None:
        super().__init__()
        self.progress: Progress | None = None
        self.download = asyncio.ensure_future(asyncio.to_thread(find, self._on_progress))

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(line(("Reading the dataset", "bold")))
            yield Static(id="progress", markup=False)
            yield make_key_row(("Esc", "cancel"))

    def on_mount(self) -> None:
        self._show()
        self.set_interval(REFRESH_SECONDS, self._show)

    def _show(self) -> None:
        if progress := self.progress:
            bar = figures.draw_progress(progress.fraction, 40) if progress.total else ""
            text = line((clean(progress.step), MUTED), "\n", bar, figures.format_share(progress))
            self.query_one("#progress", Static).update(text)

    def action_end(self) -> None:
        self.download.cancel()
        self.dismiss()

    def _on_progress(self, progress: Progress) -> None:
        """Runs in the thread. Raises CodexError after a cancel, because nothing else can end the thread."""
        if self.download.cancelled():
            raise CodexError("The download was cancelled.")
        self.progress = progress
