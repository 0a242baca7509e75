"""Keeps the engine.json of unfinished runs up to date in threads, and brings the files of runs elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from codex_tui.base.errors import CodexError
from codex_tui.engines.refresh import MAX_LOOKS, refresh_quietly
from codex_tui.engines.registry import find_engine
from training.contract.engine import EngineRecord
from training.contract.run_directory import RunDirectory

SHOWN_SECONDS, OTHER_SECONDS = 5.0, 30.0
"""The time between two looks at a run that a screen shows, and at one that only is in a list."""
SELDOM_SECONDS = 30.0  # the longest time between two looks at a run that a screen shows
TICK_SECONDS = 1.0


@contextmanager
def watching(run: RunDirectory) -> Iterator[None]:
    """Keep engine.json of `run` up to date during the block, in a thread."""
    watch = EngineWatch(lambda: [run], lambda: [])
    watch.start()
    try:
        yield
    finally:
        watch.stop()


class EngineWatch:
    """Keeps engine.json of all unfinished runs up to date, and brings the files of those that are trained elsewhere.

    `list_shown` gives the runs that a screen shows now, and `list_others` the unfinished ones in a list. Both are
    called in threads. A thread that waits for an engine never keeps the program from ending.
    """

    def __init__(
        self, list_shown: Callable[[], Iterable[RunDirectory]], list_others: Callable[[], Iterable[RunDirectory]]
    ) -> None:
        self._list_shown, self._list_others = list_shown, list_others
        self._stopped = threading.Event()
        self._busy: set[str] = set()  # what a thread does now
        self._next: dict[str, float] = {}  # the monotonic time of the next look at a run
        self._next_list = 0.0

    def start(self) -> None:
        threading.Thread(target=self._loop, daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def look_at_all(self) -> None:
        """Look at all runs at the next tick."""
        self._next_list = 0.0

    def tick(self, now: float) -> None:
        """Begin the looks that are due at the monotonic time `now`."""
        for run in self._list_shown():
            if (record := run.read_engine()) and record.has_more:
                if now >= self._next.get(run.name, 0.0):
                    self._begin(f"look {run.name}", run, refresh_quietly, now + choose_pause(record))
                if record.status != "unreachable":  # the looks ask whether it answers again, which is often enough
                    self._begin(f"follow {run.name}", run, self._follow, None)
        if now >= self._next_list and not self._stopped.is_set():
            self._next_list = now + OTHER_SECONDS
            for run in self._list_others():
                self._begin(f"look {run.name}", run, refresh_quietly, now + OTHER_SECONDS)

    def _loop(self) -> None:
        while not self._stopped.wait(TICK_SECONDS):
            with suppress(CodexError, OSError):  # such as a folder of runs that can't be read
                self.tick(time.monotonic())

    def _begin(self, name: str, run: RunDirectory, work: Callable[[RunDirectory], None], due: float | None) -> None:
        """Do `work` in a thread, unless a thread does it, or too many are at work."""
        looks = sum(each.startswith("look") for each in tuple(self._busy))  # threads leave it meanwhile
        if name in self._busy or (due is not None and looks >= MAX_LOOKS):
            return
        if due is not None:
            self._next[run.name] = due
        self._busy.add(name)

        def finish() -> None:
            try:
                work(run)
            finally:
                self._busy.discard(name)

        threading.Thread(target=finish, daemon=True).start()

    def _follow(self, run: RunDirectory) -> None:
        """Bring the events of a shown run as they are written. Where the engine can't, the looks bring them."""
        with suppress(CodexError, OSError):
            engine = find_engine(run)
            if not engine.shares_folder:
                engine.follow(run, lambda: self._is_shown(run))
                self._stopped.wait(TICK_SECONDS)

    def _is_shown(self, run: RunDirectory) -> bool:
        return not self._stopped.is_set() and any(shown.path == run.path for shown in self._list_shown())


def choose_pause(record: EngineRecord) -> float:
    """Choose the seconds until the next look at a shown run. A machine that has not answered for long is asked seldom:
    it may refuse the login, and block an address that tries too often."""
    if record.status != "unreachable":
        return SHOWN_SECONDS
    return min(SELDOM_SECONDS, max(SHOWN_SECONDS, (time.time() - record.since) / 10))
