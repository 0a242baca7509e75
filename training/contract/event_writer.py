"""Appends events to `RUN/events.jsonl`: one JSON object a line, each by one `os.write`."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from training.contract.event_base import Count, Event
from training.contract.events import Fitted, Resolved, Started, Warned
from training.contract.files import name_path_in_errors, open_file, open_to_append


class EventWriter:
    """Appends events to `path`. Several threads may use it. `seq` continues after the last event of earlier attempts.

    Only the owner may read the file (0600). If it is deleted or replaced, later events go to the new file at `path`.
    `find_path` returns where the file is now, if its folder was renamed.
    """

    def __init__(self, path: Path, find_path: Callable[[], Path | None] = lambda: None) -> None:
        self._path, self._find_path, self._lock = path, find_path, threading.Lock()
        self._encoder = msgspec.json.Encoder()
        self._epoch = time.time() - time.monotonic()
        self._seq, self._repeated = 0, dict[type, Event]()  # events that a new file must begin with
        self.listeners: list[Callable[[Event], None]] = []  # called with each event after it is written
        self._open()

    def emit(self, event: Event) -> None:
        """Stamps `event` with the next `seq` and the time, and appends it as one line. Raises OSError."""
        with self._lock, name_path_in_errors(self._path):
            if not self._in_place():
                before = self._descriptor
                self._open()
                os.close(before)
                for event_again in (
                    *self._repeated.values(),
                    Warned(message=f"{self._path.name} was deleted or replaced."),
                ):
                    self._append(event_again)
            self._append(event)
            if isinstance(event, Started | Resolved | Fitted):
                self._repeated[type(event)] = event
        for listener in self.listeners:
            listener(event)

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> None:
        seq, self._torn = _read_end(self._path)
        self._seq = max(self._seq, seq)
        self._descriptor = open_to_append(self._path)

    def _in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))  # noqa: PTH116  half the time
        except FileNotFoundError:
            present = self._find_path()
            if present is None or present == self._path:
                return False
            self._path = present
            return self._in_place()

    def _append(self, event: Event) -> None:
        event.seq = self._seq
        event.time = round(self._epoch + time.monotonic(), 3)
        # A killed attempt or a full disk may have left an incomplete line. A newline keeps it apart from this event.
        line = b"\n" * self._torn + self._encoder.encode(event) + b"\n"
        self._torn = os.write(self._descriptor, line) < len(line)
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._seq += 1


class _Numbered(msgspec.Struct):
    seq: Count


def _read_end(path: Path, window: int = 1 << 20) -> tuple[int, bool]:
    """Return the next `seq` of the file at `path`, and whether its last line is incomplete."""
    if not path.exists():
        return 0, False
    with open_file(path) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - window))
        tail = file.read()
    decoder = msgspec.json.Decoder(_Numbered)
    for line in reversed(tail.split(b"\n")[:-1]):
        try:
            return decoder.decode(line).seq + 1, not tail.endswith(b"\n")
        except (ValueError, RecursionError):
            continue
    return 0, bool(tail) and not tail.endswith(b"\n")
