"""The end of a log that may be gigabytes long and still growing."""

from __future__ import annotations

import os
import re
from pathlib import Path

from training.contract.files import open_file

FIRST_LOOK = 256 * 1024  # bytes of an existing log that are read at first
COLOURS = re.compile(rb"\x1b\[[0-9;]*[mK]")  # and "erase the rest of the line"; other sequences stay to be seen
MOST_AT_ONCE = 1024 * 1024  # of what came since; beyond it the middle is skipped
REMEMBERED = 1024  # of the end of what was shown, to find it again in a log that lost its middle


class LogTail:
    """Follows `path` by stat and read. A torn last line is kept back until it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset: int | None = None
        self._rest = b""
        self._shown = b""

    def poll(self) -> list[str]:
        """The lines that are new since the last call, raw. [] where there is no file or nothing new."""
        try:
            size = self._path.stat().st_size
        except OSError:
            return []
        if self._offset is not None and size == self._offset:
            return []
        shrunk = self._offset is not None and size < self._offset
        first = 0 if shrunk else self._offset
        start = max(0, size - FIRST_LOOK) if first is None else max(first, size - MOST_AT_ONCE)
        try:
            with open_file(self._path) as file:
                data = os.pread(file.fileno(), size - start, start)
        except OSError:
            return []
        if shrunk and (known := data.rfind(self._shown)) >= 0:  # its middle was taken out; what we showed is there
            data = data[known + len(self._shown) :]
        elif start != self._offset:  # the first look, a leap, or a new file in its place
            data = data[data.find(b"\n") + 1 :] if start else data  # the first line is the end of one
            self._rest = b""
        self._offset = size
        self._shown = (self._shown + data)[-REMEMBERED:]
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [_last_drawn(line).decode("utf-8", "replace") for line in lines]


def _last_drawn(line: bytes) -> bytes:
    """What a terminal would still show of a line that a progress bar drew over and over; without its colours."""
    return COLOURS.sub(b"", line).rstrip(b"\r").rpartition(b"\r")[2]
