"""Follows `events.jsonl` while it grows. Reads it in slices of limited size and no line twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Union

import msgspec

from training.contract import events as ev
from training.contract.files import open_file
from training.history.points import Point, Unknown

SLICE = 512 * 1024
"""Bytes of a slice. Decoding it takes about 5 ms. Callers check their time budget between slices."""
MAX_LINE_BYTES = 16 * 1024 * 1024
_MAX_LINEWISE_BYTES = 2048


class Slice(NamedTuple):
    """Events from whole lines. `damaged` is the number of damaged lines. `restarted`: the file was replaced, so all
    earlier events are void."""

    events: list[ev.Event]
    damaged: int = 0
    restarted: bool = False


class _AnyType(ev.Event, tag=False):
    type: str


_kinds = ev.AnyEvent.__args__
_decoder = msgspec.json.Decoder(ev.AnyEvent)
_point_kinds = tuple(Point if kind is ev.Metrics else kind for kind in _kinds)
_point_decoder = msgspec.json.Decoder(Union[_point_kinds])  # noqa: UP007  the union is made from a list
_METRICS, _EVAL, _PASS_RATE, _FITTED, _HEALED, _STARTED, _HELD, _STOPPED = (
    b'{"type":"%s"' % kind
    for kind in (b"metrics", b"eval", b"pass_rate", b"fitted", b"healed", b"started", b"held", b"stopped")
)
"""How the trainer begins these lines. They never occur inside a JSON string, where quotes are escaped."""
_any_type = msgspec.json.Decoder(_AnyType)
_known = {kind.__struct_config__.tag for kind in _kinds}
# A damaged line may be nested too deeply for the decoder, or contain a number too large for a float.
_UNREADABLE = (msgspec.MsgspecError, RecursionError, ValueError, OverflowError)


class Tailer:
    """Reads the file at `path` from its start, and later the lines that were appended. A missing file counts as empty.

    With `points`, metrics are decoded as `Point`, except the last one of each slice.
    """

    def __init__(self, path: Path, *, points: bool = False) -> None:
        self.path = path
        self.points = points
        self.offset = 0
        self.size = 0
        self._identity: tuple[int, int] | None = None
        self._read_at: tuple[int, int] | None = None  # size and mtime_ns when the file was last read to its end

    def skip(self, offset: int, identity: tuple[int, int]) -> None:
        """Begin at `offset` of the file whose device and inode are `identity`; at the start if it has been replaced."""
        self.offset, self._identity = offset, identity

    def slices(self) -> Iterator[Slice]:
        """Yield the new events, a slice at a time, up to the last whole line. Stop iterating when time is up."""
        try:
            status = self.path.stat()
        except OSError:
            return
        identity = (status.st_dev, status.st_ino)
        restarted = self._identity is not None and (identity != self._identity or status.st_size < self.offset)
        if not restarted and self._read_at == (status.st_size, status.st_mtime_ns):
            return
        if restarted:
            self.offset = 0
            yield Slice([], restarted=True)
        self._identity, self.size = identity, status.st_size
        try:
            with open_file(self.path) as file:
                yield from self._read_slices(file.fileno())
        except OSError:
            return
        self._read_at = (status.st_size, status.st_mtime_ns)

    def _read_slices(self, descriptor: int) -> Iterator[Slice]:
        length = SLICE
        while data := os.pread(descriptor, length, self.offset):
            end = data.rfind(b"\n") + 1
            if end:
                self.offset += end
                length = SLICE
                yield decode(data[:end] if end < len(data) else data, points=self.points)
            elif len(data) < length:
                return  # the last line has no newline yet
            elif length < MAX_LINE_BYTES:
                length *= 2
            else:  # the trainer writes no line this long, so it is damaged; skip these bytes
                self.offset += len(data)
                length = SLICE


def decode(data: bytes, *, points: bool = False) -> Slice:
    """Decode whole lines. Damaged lines are counted. Lines that a newer trainer wrote become `Unknown`."""
    try:
        return Slice(_decode_points(data) if points else _decoder.decode_lines(data))
    except _UNREADABLE:
        pass
    middle = data.rfind(b"\n", 0, len(data) // 2) + 1
    if len(data) > _MAX_LINEWISE_BYTES and middle:
        left, right = decode(data[:middle], points=points), decode(data[middle:], points=points)
        return Slice(left.events + right.events, left.damaged + right.damaged)
    events: list[ev.Event] = []
    damaged = 0
    for line in data.split(b"\n"):
        if event := _decode_line(line):
            events.append(event)
        elif line.strip():
            damaged += 1
    return Slice(events, damaged)


def _decode_points(data: bytes) -> list[ev.Event]:
    events: list[ev.Event] = _point_decoder.decode_lines(data)
    start = data.rfind(_METRICS)
    if start >= 0:
        last = next(index for index in reversed(range(len(events))) if type(events[index]) is Point)
        events[last] = _decoder.decode(data[start : data.index(b"\n", start)])
    return events


def sample_events(path: Path, spots: int = 512, length: int = 2048, ends: int = 64 * 1024) -> list[ev.Event]:
    """Read whole lines from the start, the end and `spots` evenly spaced places between, in file order, none twice.

    `length` is the number of bytes at each place, `ends` that at the start and the end. This is enough to draw a huge
    run at once. Returns [] if the file can't be read.
    """
    events: list[ev.Event] = []
    try:
        with open_file(path) as file:
            size = file.seek(0, os.SEEK_END)
            stride = max(length, (size - 2 * ends) // spots)
            places = [(0, ends)]
            places += [(start, length) for start in range(ends + stride, size - ends - length, stride)]
            places += [(max(ends, size - ends), ends)]
            for start, count in places:
                data = os.pread(file.fileno(), count, start)
                # Each place except the start begins within a line, so the text up to the first newline is skipped.
                first = data.find(b"\n") + 1 if start else 0
                events += decode(data[first : data.rfind(b"\n") + 1]).events
    except OSError:
        return []
    return events


def find_landmarks(path: Path) -> list[ev.Event]:
    """Read all evaluations, pass rates and fits, and the events that begin or end a break, with the event before each.

    A sample may miss them. Searching takes a tenth of the time of decoding. Returns [] if the file can't be read.
    """
    events: list[ev.Event] = []
    line = b""  # the last one so far
    try:
        for data in _read_lines(path):
            data = line + data
            starts = {start for kind in (_EVAL, _PASS_RATE, _FITTED) for start in _find_all(data, kind, len(line))}
            for kind in (_STARTED, _HEALED, _HELD, _STOPPED):
                for start in _find_all(data, kind, len(line)):
                    starts |= {start, data.rfind(b"\n", 0, max(0, start - 1)) + 1}
            for start in sorted(starts):
                events += decode(data[start : data.index(b"\n", start)]).events
            line = data[data.rfind(b"\n", 0, -1) + 1 :]
    except OSError:
        return []
    return events


def _read_lines(path: Path, length: int = 8 * SLICE) -> Iterator[bytes]:
    """Yield the whole lines of the file in pieces of about `length` bytes."""
    with open_file(path) as file:
        rest = b""
        while data := file.read(length):
            lines, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield lines + newline


def _find_all(data: bytes, start: bytes, first: int) -> Iterator[int]:
    """Yield the positions of all lines from `first` on that begin with `start`."""
    while (first := data.find(start, first)) >= 0:
        yield first
        first += 1


def _decode_line(line: bytes) -> ev.Event | None:
    try:
        return _decoder.decode(line)
    except _UNREADABLE:
        pass
    try:
        other = _any_type.decode(line)
    except _UNREADABLE:
        return None
    damaged = other.type in _known and other.v <= ev.VERSION
    return None if damaged else Unknown(v=other.v, seq=other.seq, time=other.time)
