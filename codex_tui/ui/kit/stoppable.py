"""Work that runs while its screen is open: its progress, how it is stopped, and whether it can go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from codex_tui.base.progress import OnProgress, Progress, ProgressTracker


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
