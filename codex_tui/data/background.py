"""The background tasks of a data view: how far each of them is, and how all of them end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from threading import Event
from typing import Any

from codex_tui.base.progress import Progress, ProgressTracker, Unit

SECONDS_BETWEEN_REPORTS = 0.1  # a thread reports more often than the screen needs


class Background:
    """Runs tasks on the event loop. `works` has the named ones; `on_change` is called when there is something new.

    Threads look at `closed` to end early.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.works: dict[str, ProgressTracker] = {}
        self.closed = Event()
        self._on_change = on_change
        self._tasks: set[asyncio.Task[None]] = set()
        self._reported_at = 0.0

    def run(self, task: Coroutine[Any, Any, None]) -> None:
        running = asyncio.create_task(task)
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)

    def notify(self) -> None:
        """Calls `on_change`, unless the view is closed."""
        if not self.closed.is_set():
            self._on_change()

    def begin(self, name: str, step: str) -> ProgressTracker:
        """Adds a work without progress yet, in place of an older one of that name."""
        work = self.works[name] = ProgressTracker(Progress(step))
        return work

    def finish(self, name: str) -> None:
        self.works.pop(name, None)

    def begin_in_thread(self, name: str, step: str, unit: Unit = "rows") -> Callable[[int, int], None]:
        """Adds a work and returns the function with which a thread reports its progress: (done, total)."""
        work, loop = self.begin(name, step), asyncio.get_running_loop()

        def report(done: int, total: int) -> None:
            work.update(Progress(step, done, total, unit))
            now = time.monotonic()
            if now - self._reported_at > SECONDS_BETWEEN_REPORTS and not self.closed.is_set():
                self._reported_at = now
                loop.call_soon_threadsafe(self.notify)

        return report

    async def wait(self) -> None:
        """Waits until every task has ended."""
        for task in list(self._tasks):
            with suppress(asyncio.CancelledError, Exception):
                await task
