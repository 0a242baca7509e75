"""The end of a log that may be gigabytes long and still growing."""

from __future__ import annotations

import os
import re
from pathlib import Path

FIRST_LOOK = 256 * 1024  # bytes of an existing log that are read at first
COLOURS = re.compile(rb"\x1b\[[0-9;]*[mK]")  # and "erase the rest of the line"; other sequences stay to be seen
MOST_AT_ONCE = 1024 * 1024  # of what came since; beyond it the middle is skipped


class LogTail:
    """Follows `path` by stat and read. A torn last line is kept back until it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset: int | None = None
        self._rest = b""

    def poll(self) -> list[str]:
        """The lines that are new since the last call, raw. [] where there is no file or nothing new."""
        try:
            size = self._path.stat().st_size
        except OSError:
            return []
        if self._offset is not None and size == self._offset:
            return []
        start = self._start(size)
        try:
            with self._path.open("rb") as file:
                data = os.pread(file.fileno(), size - start, start)
        except OSError:
            return []
        if start and start != self._offset:  # a leap: the first line is the end of one
            data = data[data.find(b"\n") + 1 :]
            self._rest = b""
        self._offset = size
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [_last_drawn(line).decode("utf-8", "replace") for line in lines]

    def _start(self, size: int) -> int:
        if self._offset is None or size < self._offset:  # the first look, or a new file in its place
            self._rest = b""
            return max(0, size - FIRST_LOOK)
        return max(self._offset, size - MOST_AT_ONCE)


def _last_drawn(line: bytes) -> bytes:
    """What a terminal would still show of a line that a progress bar drew over and over; without its colours."""
    return COLOURS.sub(b"", line).rstrip(b"\r").rpartition(b"\r")[2]
