"""Progress over the network: one moving line on a terminal, plain lines elsewhere, nothing within a second."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from codex_tui.base.progress import Progress, Tell

QUIET_SECONDS = 1.0
LIVE_EVERY, PLAIN_EVERY = 0.5, 5.0
PACE_FROM = 2.0  # seconds of a step, before which what is left of it is a guess


@contextmanager
def progress() -> Iterator[Tell]:
    """Yields what may be called from any thread, as often as one likes; the lines go to stderr."""
    teller = _Teller()
    try:
        yield teller.tell
    finally:
        teller.close()


class _Teller:
    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._now = Progress("")
        self._started = self._step_started = self._told_at = time.monotonic()
        self._first_done = 0
        self._told_step = ""
        self._drawn = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, daemon=True)
        self._thread.start()

    def tell(self, progress: Progress) -> None:
        if progress.step != self._now.step:
            self._step_started, self._first_done = time.monotonic(), progress.done
        self._now = progress

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        if self._live and self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()

    def _draw(self) -> None:
        while not self._ended.wait(LIVE_EVERY):
            now, seen = time.monotonic(), self._now
            if not seen.step or now - self._started < QUIET_SECONDS:
                continue
            due = seen.step != self._told_step or now - self._told_at >= PLAIN_EVERY
            if self._live or due:
                self._say(line_of(seen, now - self._step_started, self._first_done))
                self._told_step, self._told_at = seen.step, now

    def _say(self, line: str) -> None:
        from codex_tui.base.text import shorten

        self._drawn = True
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[2K{shorten(line, width)}" if self._live else f"{line}\n")
        sys.stderr.flush()


def line_of(progress: Progress, elapsed: float, first_done: int = 0) -> str:
    """`sending train.jsonl  12.0 of 80.0 MB  0:07, about 0:40 left`"""
    from codex_tui.base.text import clean, counted, duration

    parts = [clean(progress.step)]
    if progress.total and progress.unit == "B":
        parts.append(f"{_amount(progress.done, progress.total)} of {size(progress.total)}")
    elif progress.done:
        parts.append(counted(progress.done, "row") if progress.unit == "rows" else size(progress.done))
    time_spent = duration(elapsed)
    moved = progress.done - first_done
    if progress.total and elapsed >= PACE_FROM and moved > 0:
        time_spent += f", about {duration(max(0, progress.total - progress.done) * elapsed / moved)} left"
    return "  ".join((*parts, time_spent))


def size(count: int) -> str:
    """`1234567` as "1.2 MB"."""
    unit, divisor = _unit(count)
    return f"{count / divisor:.1f} {unit}" if divisor > 1 else f"{count} {unit}"


def _amount(done: int, total: int) -> str:
    divisor = _unit(total)[1]
    return f"{done / divisor:.1f}" if divisor > 1 else f"{done}"


def _unit(count: int) -> tuple[str, int]:
    return next(((u, d) for u, d in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)) if count >= d), ("B", 1))
