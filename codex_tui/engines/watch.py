"""Asks engines where their runs are, and writes it into RUN/engine.json, which is all that viewers read."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec

from codex_tui.base.errors import CodexError
from codex_tui.engines.registry import find_engine
from training.contract.engine import EngineRecord
from training.contract.run_directory import RunDirectory

SHOWN_SECONDS, OTHER_SECONDS = 5.0, 30.0
"""The time between two looks at a run that a screen shows, and at one that only is in a list."""
SELDOM_SECONDS = 30.0  # the longest time between two looks at a run that a screen shows
TICK_SECONDS = 1.0
PATIENCE_SECONDS = 15.0  # with a machine that has files of an ended run: a link that comes back may fail once more
WRITE_SECONDS = 20.0
"""An unchanged answer is written again after this time only, which spares the disk."""
MAX_LOOKS = 8  # at the same time; each is a process or a connection


def refresh(run: RunDirectory) -> EngineRecord | None:
    """Ask the engine of `run` once, and bring its new files here. Takes seconds. Returns None for a local run."""
    before = run.read_engine()
    if before is None or not before.has_more:
        return before
    engine = find_engine(run)
    engine.fetch(run)
    after = engine.look(run)
    unchanged = msgspec.structs.replace(after, seen=before.seen) == before
    if unchanged and after.seen < before.seen + WRITE_SECONDS:
        return before
    current = run.read_engine()
    if current != before:  # another program has written meanwhile, and may know more: a new job, or a park
        return current
    with suppress(OSError):  # a full disk: the answer counts nevertheless
        run.write_engine(after)
    return after


def bring_rest(run: RunDirectory) -> EngineRecord | None:
    """If `run` is a mirror that has ended, wait until all of its files are here, or its machine does not answer for a
    while."""
    from codex_tui.runs.follower import snapshot  # the app watches its runs before it needs this

    answered = time.monotonic()
    while (record := refresh(run)) and record.has_more and snapshot(run).ended:
        if record.status != "unreachable":
            answered = time.monotonic()
        elif time.monotonic() - answered > PATIENCE_SECONDS:
            break
        time.sleep(TICK_SECONDS / 5)
    return record


def refresh_all(runs: Sequence[RunDirectory], seconds: float) -> None:
    """Refresh all `runs` at the same time, and return after `seconds` at the latest. The others stay as they are."""
    deadline = time.monotonic() + seconds
    waiting = list(runs)

    def work() -> None:
        with suppress(IndexError):
            while time.monotonic() < deadline:
                _refresh_quietly(waiting.pop())

    threads = [threading.Thread(target=work, daemon=True) for _ in runs[:MAX_LOOKS]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


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
                    self._begin(f"look {run.name}", run, _refresh_quietly, now + choose_pause(record))
                if record.status != "unreachable":  # the looks ask whether it answers again, which is often enough
                    self._begin(f"follow {run.name}", run, self._follow, None)
        if now >= self._next_list and not self._stopped.is_set():
            self._next_list = now + OTHER_SECONDS
            for run in self._list_others():
                self._begin(f"look {run.name}", run, _refresh_quietly, now + OTHER_SECONDS)

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


def _refresh_quietly(run: RunDirectory) -> None:
    with suppress(CodexError, OSError):
        refresh(run)
