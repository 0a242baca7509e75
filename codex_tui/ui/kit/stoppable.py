"""Work that runs while its screen is open: its progress, how it is stopped, and whether it can go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

from textual.screen import Screen

from codex_tui.base.progress import OnProgress, Progress, ProgressTracker
from codex_tui.ui.kit.dialogs import Confirm
from codex_tui.ui.messages import HoldsModels


class HoldsWork(Screen[Any]):
    """The base of a screen with a work that a person stops only after a question, also when the app quits.

    `WORK` is what a person calls the work, `RESULTS` what is kept of it.
    """

    WORK: ClassVar[str]
    RESULTS: ClassVar[str]
    work: StoppableWork

    async def free_workers_of_screens(self) -> None:
        """End the workers of all screens that hold a model: this work needs their memory."""
        for screen in self.app.screen_stack:
            if isinstance(screen, HoldsModels):
                await screen.free_workers()

    @property
    def reason_to_stay(self) -> str:
        return f"A {self.WORK} runs. Stop it (Esc) or let it end first." if self.work.tracker else ""

    def ask_and_quit(self) -> None:
        self._ask_to_stop(f"A {self.WORK} runs. Quit?", "stop and quit", "stay", then=self.app.exit)

    def ask_to_stop(self) -> None:
        self._ask_to_stop(f"Stop the {self.WORK}?", "stop", "go on")

    def _ask_to_stop(self, title: str, action: str, cancel: str, then: Callable[[], object] = lambda: None) -> None:
        """Ask before the work is stopped. `then` is called after that."""

        def stop(is_wanted: bool | None) -> None:
            if is_wanted:
                self.work.stop()
                then()

        text = f"Its {self.RESULTS} so far are kept: it can go on from there later."
        self.app.push_screen(Confirm(title, text, action, cancel), stop)


class StoppableWork:
    """Runs one task at a time. `tracker` is None while none runs.

    `changed` is called after each change but the progress.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._task: asyncio.Task[None] | None = None
        self.tracker: ProgressTracker | None = None
        self.stopped = False
        """Whether the last task was stopped or failed, so that it can go on."""

    async def run(self, work: Callable[[OnProgress], Coroutine[Any, Any, None]], first_step: str) -> None:
        """Run `work` until it is done, or until `stop`. Raises what it raises."""
        self.stopped = True
        self._report(Progress(first_step))
        self._task = asyncio.ensure_future(work(self._report))
        self._changed()
        try:
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()
                self.stopped = False
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])  # its worker has ended then
            self._task = self.tracker = None
            self._changed()

    def stop(self) -> None:
        """Stop the task. Its results so far are kept."""
        if self._task:
            self._task.cancel()

    def _report(self, progress: Progress) -> None:
        if self.tracker:
            self.tracker.update(progress)
        else:
            self.tracker = ProgressTracker(progress)
