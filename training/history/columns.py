"""RUN/history: what events.jsonl says, in columns of numbers, so that a viewer need not parse a million events.

events.jsonl stays the truth. The file consists of chunks, and each belongs to a part of events.jsonl, of which it has
the offsets and the checksum. It has the points that the part added to the curve as columns of eight-byte numbers, then
the rest of the state at its end, and last the values beside the loss, which few viewers need. A chunk that is torn or
damaged, that belongs to other events, or that another version wrote, is not used, nor are those after it. So any fault
of the file costs time and changes nothing.
"""

from __future__ import annotations

import os
import struct
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from math import isinf
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from zlib import crc32

import msgspec

from training.contract import events as ev
from training.contract.files import open_file
from training.history.series import PackedPoints, Series
from training.history.state import RunState
from training.history.values import Values, count_bytes

FORMAT = 11
"""Increase this when a field of `RunState`, or a column of `Series` or `Values`, changes: older files are ignored."""
READ_BYTES = 1 << 20
CHECK_SECONDS = 0.02  # that a poll waits at most for a `HistoryCheck`
MAX_GROWTH = 8  # a chunk has at most this many bytes for each byte of all events, and a little more
_MAGIC = b"codexh%02d" % FORMAT
_CHECKSUM = struct.Struct("=I")
# The magic; start, end and checksum of the events; damaged lines; the points; the sizes of columns and state.
_HEADER = struct.Struct("=8sQQIQ" + "QQQd" + "QQ")


class EventsFile(NamedTuple):
    """Which events.jsonl was checked: its device and inode."""

    device: int
    inode: int


class History(NamedTuple):
    """The state after the first `offset` bytes of events.jsonl, of which `damaged_lines` could not be read.

    `parts` are the offsets and checksums of the events that it was made from; see `find_events`. `size` is the number
    of bytes of RUN/history that it comes from. `values` is empty unless it was asked for."""

    state: RunState
    values: Values
    offset: int
    damaged_lines: int
    parts: list[tuple[int, int, int]]
    size: int


class _Chunk(NamedTuple):
    start: int
    end: int
    checksum: int
    damaged_lines: int
    points: PackedPoints
    state: memoryview
    values: bytes
    size: int


def read_history(path: Path, events: Path, *, values: bool = False) -> History | None:
    """Read the file at `path`, as far as it is whole and not ahead of the file `events`.

    Returns None if there is nothing to use. Use a `HistoryCheck` before you rely on the result.
    """
    losses, beside, parts, last, size = Series(), Values(), [], None, 0
    try:
        with open_file(path) as file:
            for chunk in _read_chunks(file, events.stat().st_size, values=values):
                losses.unpack(chunk.points)
                beside.unpack(chunk.points.first, chunk.values)
                parts.append((chunk.start, chunk.end, chunk.checksum))
                last, size = chunk, size + chunk.size
        if last is None:
            return None
        state = msgspec.msgpack.decode(last.state, type=RunState, dec_hook=_decode)
    except (OSError, ValueError, TypeError, OverflowError, MemoryError, RecursionError):
        return None
    state.losses = losses
    return History(state, beside, last.end, last.damaged_lines, parts, size)


def _read_chunks(file: BinaryIO, max_offset: int, *, values: bool) -> Iterator[_Chunk]:
    """Yield the chunks up to the first one that is torn or damaged, that does not continue the one before, or that
    tells of events after `max_offset`."""
    offset = 0
    while len(header := file.read(_HEADER.size)) == _HEADER.size:
        magic, start, end, checksum, damaged, first, length, finite, mean, columns, rest = _HEADER.unpack(header)
        if magic != _MAGIC or start != offset or not start < end <= max_offset:
            return
        beside = count_bytes(length)
        if columns + rest + beside > MAX_GROWTH * end + READ_BYTES:  # before that many bytes are read
            return
        body = file.read(columns + rest)
        if file.read(_CHECKSUM.size) != _CHECKSUM.pack(crc32(body, crc32(header))):
            return
        data = b""
        if values:
            data = file.read(beside)
            if file.read(_CHECKSUM.size) != _CHECKSUM.pack(crc32(data)):
                return
        else:
            file.seek(beside + _CHECKSUM.size, os.SEEK_CUR)
        view = memoryview(body)
        points = PackedPoints(first, length, finite, mean, view[:columns])
        size = len(header) + len(body) + beside + 2 * _CHECKSUM.size
        yield _Chunk(start, end, checksum, damaged, points, view[columns:], data, size)
        offset = end


def find_events(path: Path, parts: list[tuple[int, int, int]]) -> EventsFile | None:
    """Compare the events at `path` with `parts` of a history. Returns the file if all are equal, else None.

    Reading takes a tenth of the time of parsing, and leaves the interpreter to other threads.
    """
    try:
        with open_file(path) as file:
            status = os.fstat(file.fileno())
            buffer = bytearray(READ_BYTES)
            for start, end, checksum in parts:
                if checksum != _compute_checksum(file.fileno(), start, end, buffer):
                    return None
    except OSError:
        return None
    return EventsFile(status.st_dev, status.st_ino)


def _compute_checksum(descriptor: int, start: int, end: int, buffer: bytearray) -> int | None:
    """Compute the checksum of a part of a file. Returns None if the file ends before."""
    checksum, view = 0, memoryview(buffer)
    while start < end:
        count = os.preadv(descriptor, [view[: end - start]], start)
        if not count:
            return None
        checksum = crc32(view[:count], checksum)
        start += count
    return checksum


class HistoryCheck:
    """Compares `history` with the events at `path` in a thread. `events` is their file if they are equal."""

    def __init__(self, path: Path, history: History) -> None:
        self._path, self.history = path, history
        self._thread: threading.Thread | None = None
        self.events: EventsFile | None = None

    def has_ended(self, budget_seconds: float) -> bool:
        """Wait for the end: a small part of a finite budget, or as long as it takes if the budget is infinite."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._compare, daemon=True)
            self._thread.start()
        self._thread.join(None if isinf(budget_seconds) else min(budget_seconds, CHECK_SECONDS))
        return not self._thread.is_alive()

    def _compare(self) -> None:
        self.events = find_events(self._path, self.history.parts)


def encode_chunk(descriptor: int, start: int, end: int, state: RunState, values: Values, damaged: int) -> bytes | None:
    """Encode what the events from `start` to `end` added to `state` and `values`. The first `losses.kept` points are
    kept already. `damaged` counts the damaged lines up to `end`.

    `descriptor` is that of events.jsonl. Returns None if the file is shorter.
    """
    checksum = _compute_checksum(descriptor, start, end, bytearray(READ_BYTES))
    if checksum is None:
        return None
    points = state.losses.pack(state.losses.kept)
    rest = msgspec.msgpack.encode(replace(state, losses=Series()), enc_hook=_encode)
    header = _HEADER.pack(
        _MAGIC, start, end, checksum, damaged,
        points.first, points.length, points.finite, points.mean, len(points.data), len(rest),
    )  # fmt: skip
    chunk = b"".join((header, points.data, rest))
    beside = values.pack(points.first)
    return b"".join((chunk, _CHECKSUM.pack(crc32(chunk)), beside, _CHECKSUM.pack(crc32(beside))))


def _encode(value: Any) -> Any:
    if isinstance(value, Series):  # the columns are before the state
        return None
    if isinstance(value, deque):
        return list(value)
    raise NotImplementedError(type(value))


def _decode(kind: Any, value: Any) -> Any:
    if kind is Series:
        return Series()
    return deque(msgspec.convert(value, list[ev.Gpu]), maxlen=RunState().gpu_history.maxlen)
