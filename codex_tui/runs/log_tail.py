"""Follows the end of a log that may be gigabytes long and still growing."""

from __future__ import annotations

import os
import re
from pathlib import Path

from training.contract.files import open_file
from training.contract.secrets import redact_secrets

FIRST_LOOK = 256 * 1024  # bytes from the end of the log that the first poll reads
MAX_BYTES_AT_ONCE = 1024 * 1024  # if more bytes are new, only the last ones are read
REMEMBERED = 1024  # bytes of the shown text that are kept, to find that text again after the log was trimmed
COLOURS = re.compile(rb"\x1b\[[0-9;]*[mK]")  # colours and "erase line"; other escape sequences stay visible


class LogTail:
    """Follows the log at `path`. A line is returned only when its newline has been written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset: int | None = None
        self._rest = b""
        self._shown = b""

    def poll(self) -> list[str]:
        """Read the lines that are new since the last call, with secrets redacted: libraries may write them. Returns []
        if there are no new lines or if there is no file."""
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
        if shrunk and (known := data.rfind(self._shown)) >= 0:  # the middle of the log was removed, not its end
            data = data[known + len(self._shown) :]
        elif start != self._offset:  # the first poll, skipped bytes, or a new file
            data = data[data.find(b"\n") + 1 :] if start else data  # the first line is incomplete
            self._rest = b""
        self._offset = size
        self._shown = (self._shown + data)[-REMEMBERED:]
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [redact_secrets(_strip_redrawn(line).decode("utf-8", "replace")) for line in lines]


def _strip_redrawn(line: bytes) -> bytes:
    """Return the text after the last carriage return, as a terminal shows a progress bar, without colours."""
    return COLOURS.sub(b"", line).rstrip(b"\r").rpartition(b"\r")[2]
