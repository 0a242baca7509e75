"""How far the results of a mirrored run have come from its machine: RUN/.fetching.json.

The process that fetches them writes the file, at most once a second. Every viewer shows it, in whatever process it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import msgspec

from codex_tui.base.progress import OnProgress, Progress, ProgressTracker
from training.contract import files
from training.contract.run_directory import RunDirectory

FILE = ".fetching.json"
WRITE_SECONDS = 1.0
STALE_SECONDS = 20.0
"""An older file is of a process that was killed. The far end gives a sign of life more often."""


@contextmanager
def publish_progress(run: RunDirectory) -> Iterator[OnProgress]:
    """Yield the function that gets the progress of the block, and writes it for all viewers of `run`."""
    path, tracker, written = run.path / FILE, ProgressTracker(Progress("")), -WRITE_SECONDS

    def report(progress: Progress) -> None:
        nonlocal written
        is_new_step = progress.step != tracker.progress.step
        tracker.update(progress)
        if is_new_step or time.monotonic() >= written + WRITE_SECONDS:
            written = time.monotonic()
            estimated = replace(progress, seconds_left=tracker.seconds_left)
            with suppress(OSError):  # the disk is full, or the run was renamed or deleted meanwhile
                files.write_atomically(path, msgspec.json.encode(estimated), sync=False)

    try:
        yield report
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def read_progress(run: RunDirectory) -> Progress | None:
    """Return how far the fetch of the results of `run` is; None if nobody fetches them now. The step may have text
    from outside: clean it before it is shown."""
    path = run.path / FILE
    try:
        if abs(time.time() - path.stat().st_mtime) > STALE_SECONDS:
            return None
        return msgspec.json.decode(files.read(path), type=Progress)
    except (OSError, ValueError, RecursionError):
        return None
