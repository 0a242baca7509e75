"""The end of a log that may be gigabytes long and still growing."""

from __future__ import annotations

import os
import re
from pathlib import Path

from training.contract.files import open_file

FIRST_LOOK = 256 * 1024  # this many bytes at the end of a log are read at first
MAX_BYTES_AT_ONCE = 1024 * 1024  # if more is new, only the last part of it is read
REMEMBERED = 1024  # bytes of the end that was shown, to find it again after the log has lost its middle
COLOURS = re.compile(rb"\x1b\[[0-9;]*[mK]")  # and "erase the rest of the line"; other sequences are shown


class LogTail:
    """Follows the log at `path` by stat and read. A line is returned only when its newline has been written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset: int | None = None
        self._rest = b""
        self._shown = b""

    def poll(self) -> list[str]:
        """The raw lines that are new since the last call; [] if there are none, or no file."""
        try:
            size = self._path.stat().st_size
        except OSError:
            return []
        if self._offset is not None and size == self._offset:
            return []
        shrunk = self._offset is not None and size < self._offset
        first = 0 if shrunk else self._offset
        start = max(0, size - FIRST_LOOK) if first is None else max(first, size - MAX_BYTES_AT_ONCE)
        try:
            with open_file(self._path) as file:
                data = os.pread(file.fileno(), size - start, start)
        except OSError:
            return []
        if shrunk and (known := data.rfind(self._shown)) >= 0:  # its middle was removed, not its end
            data = data[known + len(self._shown) :]
        elif start != self._offset:  # the first look, a leap, or a new file in its place
            data = data[data.find(b"\n") + 1 :] if start else data  # the first line is the end of one
            self._rest = b""
        self._offset = size
        self._shown = (self._shown + data)[-REMEMBERED:]
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [_last_drawn(line).decode("utf-8", "replace") for line in lines]


def _last_drawn(line: bytes) -> bytes:
    """The end of the line after its last carriage return, as a terminal shows a progress bar; without its colours."""
    return COLOURS.sub(b"", line).rstrip(b"\r").rpartition(b"\r")[2]
