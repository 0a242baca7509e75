"""Prints the progress of long work on stderr: one line that moves on a terminal, plain lines elsewhere.

With the variable CODEX_TUI_PROGRESS=json, each line is a `Progress` as JSON, which `codex-tui remote` on another
machine reads over ssh.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace

from codex_tui.base.progress import JSON_VARIABLE, OnProgress, Progress, ProgressTracker

QUIET_SECONDS = 1.0  # work that ends sooner prints nothing
REDRAW_SECONDS, PLAIN_LINE_SECONDS = 0.5, 5.0


@contextmanager
def print_progress(prefix: str = "") -> Iterator[OnProgress]:
    """Print the progress that is reported to the yielded function. Any thread may call it, as often as it likes."""
    printer = _Printer(prefix)
    try:
        yield printer.report
    finally:
        printer.close()


class _Printer:
    """A thread prints the newest progress, so that the line moves on also while the work reports nothing."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._as_json = os.environ.get(JSON_VARIABLE) == "json"
        self._is_terminal = sys.stderr.isatty() and not self._as_json
        self._tracker: ProgressTracker | None = None
        self._started = self._printed_at = time.monotonic()
        self._printed_step = ""
        self._has_printed = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._print_until_closed, daemon=True)
        self._thread.start()

    def report(self, progress: Progress) -> None:
        if self._tracker:
            self._tracker.update(progress)
        else:
            self._tracker = ProgressTracker(progress)

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        if self._is_terminal and self._has_printed:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()

    def _print_until_closed(self) -> None:
        while not self._closed.wait(REDRAW_SECONDS):
            now = time.monotonic()
            if self._tracker is None or now - self._started < QUIET_SECONDS:
                continue
            if self._as_json:
                self._print(self._format_json(self._tracker))
                continue
            step = self._tracker.progress.step
            is_due = step != self._printed_step or now - self._printed_at >= PLAIN_LINE_SECONDS
            if self._is_terminal or is_due:
                self._print(self._prefix + format_progress(self._tracker))
                self._printed_step, self._printed_at = step, now

    def _format_json(self, tracker: ProgressTracker) -> str:
        progress = tracker.progress
        step = self._prefix + progress.step
        return json.dumps(asdict(replace(progress, step=step, seconds_left=tracker.seconds_left)))

    def _print(self, line: str) -> None:
        from codex_tui.base.text import shorten

        self._has_printed = True
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[2K{shorten(line, width)}" if self._is_terminal else f"{line}\n")
        sys.stderr.flush()


def format_progress(tracker: ProgressTracker) -> str:
    """`sending train.jsonl  12.0 of 80.0 MB  0:07, about 0:40 left`, then the detail if there is one."""
    from codex_tui.base.text import clean, format_duration

    progress, seconds_left = tracker.progress, tracker.seconds_left
    estimate = "" if seconds_left is None else f", about {format_duration(seconds_left)} left"
    parts = (
        clean(progress.step),
        _format_amount(progress),
        format_duration(tracker.elapsed) + estimate,
        clean(progress.detail),
    )
    return "  ".join(filter(None, parts))


def _format_amount(progress: Progress) -> str:
    from codex_tui.base.text import format_size, pluralize, scale_size

    done, total = progress.done, progress.total
    if progress.unit == "bytes":
        if total:
            return f"{scale_size(done, total)} of {format_size(total)}"
        return format_size(done) if done else ""
    if total:
        return f"{done:,} of {pluralize(total, progress.unit.removesuffix('s'))}"
    return pluralize(done, progress.unit.removesuffix("s")) if done else ""
