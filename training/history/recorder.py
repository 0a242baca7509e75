"""Writes RUN/history while the run trains. The run's keeper does it, so that no step waits for it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from training.contract.files import open_file, open_to_append
from training.history.columns import encode_chunk, find_events, read_history
from training.history.reduce import reduce
from training.history.state import RunState
from training.history.tailer import Tailer
from training.history.values import Values

MIN_CHUNK_BYTES = 1 << 20
"""Bytes of events that a chunk is made from at least. A viewer parses as many in 10 ms."""
GROWTH = 16
"""A chunk is also made from at least this fraction of all events, so that the states in the file stay few."""


class Recorder:
    """Follows the events of the run in `folder`, and appends to its history. Call `poll` now and then.

    Raises OSError if another process records the run, or if the file can't be opened.
    """

    def __init__(self, folder: Path) -> None:
        self._events = folder / "events.jsonl"
        self._descriptor = open_to_append(folder / "history")
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._begin(folder / "history")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        os.close(self._descriptor)

    def _begin(self, path: Path) -> None:
        """Continue the history that is there, if it is of these events, else begin a new one."""
        self._tailer = Tailer(self._events)
        self._state, self._values, self._damaged_lines = RunState(), Values(), 0
        self._recorded = 0  # the offset up to which the file tells of the events
        history = read_history(path, self._events, values=True)
        events = find_events(self._events, history.parts) if history else None
        self._size = history.size if history and events else 0
        if history and events:
            self._state, self._values = history.state, history.values
            self._damaged_lines, self._recorded = history.damaged_lines, history.offset
            self._keep_points()
            self._tailer.skip(history.offset, events)
        os.ftruncate(self._descriptor, self._size)

    @property
    def next_bytes(self) -> int:
        """The number of bytes of events from which on the next chunk is made."""
        return self._recorded + max(MIN_CHUNK_BYTES, self._recorded // GROWTH)

    def poll(self, *, at_end: bool = False) -> None:
        """Append a chunk if there are enough new events, or `at_end` if there are any. Raises OSError.

        Keeps the file as it was if it can't be written, for example because the disk is full.
        """
        with suppress(FileNotFoundError):
            if self._recorded <= self._events.stat().st_size < (self._recorded + 1 if at_end else self.next_bytes):
                return
            self._read()
            with open_file(self._events) as file:
                self._append(file.fileno())

    def _read(self) -> None:
        for piece in self._tailer.slices():
            if piece.restarted:
                self._state, self._values, self._damaged_lines = RunState(), Values(), 0
                self._recorded = self._size = 0
                os.ftruncate(self._descriptor, 0)
            self._damaged_lines += piece.damaged
            for event in piece.events:
                reduce(self._state, event)
                self._values.add(event, len(self._state.losses))

    def _append(self, events: int) -> None:
        start, end = self._recorded, self._tailer.offset
        if end <= start:
            return
        chunk = encode_chunk(events, start, end, self._state, self._values, self._damaged_lines)
        if chunk is None:
            return
        try:
            written = os.write(self._descriptor, chunk)
        except OSError:
            written = 0
        if written < len(chunk):
            os.ftruncate(self._descriptor, self._size)
            return
        self._size, self._recorded = self._size + len(chunk), end
        self._keep_points()

    def _keep_points(self) -> None:
        """Note that the file has all points so far. The last one may still get other values beside its loss."""
        self._state.losses.kept = max(0, len(self._state.losses) - 1)
