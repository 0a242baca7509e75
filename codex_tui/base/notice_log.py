"""Remembers the notices that could not be sent, so that `doctor` can show them: a file of the data folder."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from codex_tui.base import locations
from training.contract.files import open_to_append, read

MAX_BYTES = 64 * 1024  # then the file begins again, with its last lines
KEPT_LINES = 50
RECENT_SECONDS = 7 * 86400.0


def find_file() -> Path:
    return locations.data_home() / "notices.log"


def append(problem: str) -> None:
    """Add the sentence `problem`, which is clean and has no secret. A log that can't be written is no failure."""
    line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {problem}\n"
    with suppress(OSError):
        path = find_file()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = open_to_append(path)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_size > MAX_BYTES:
                kept = read(path, 2 * MAX_BYTES).splitlines(keepends=True)[-KEPT_LINES:]
                os.ftruncate(descriptor, 0)
                os.write(descriptor, b"".join(kept))
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def read_recent(now: float) -> list[str]:
    """Return the lines of the last days, the oldest first."""
    try:
        lines = read(find_file(), 2 * MAX_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line for line in lines if now - _parse_time(line) < RECENT_SECONDS]


def _parse_time(line: str) -> float:
    try:
        return time.mktime(time.strptime(line[:19], "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        return 0.0
