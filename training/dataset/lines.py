"""Finds where each row of a JSONL file begins. The file stays on the disk; 8 bytes a row are held in memory.

The result is kept in the cache under the file's path. It is used again only if the file's size, inode and modification
time are the same.
"""

from __future__ import annotations

import hashlib
import os
import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from training.dataset import kept
from training.dataset.formats import BYTE_ORDER_MARK, MAX_LINE_BYTES, Unreadable
from training.dataset.records import BadRow, Record, parse_line

Cancelled = Callable[[], bool]
Read = Callable[[int], None]
"""Called with the number of bytes read from this file so far."""

SLICE = 2**20  # bytes read between two checks of `cancelled`; this takes a millisecond
MIN_CACHED_BYTES = 4 * 2**20  # reading a smaller file is faster than looking up its index
_TEXT = re.compile(rb"\S")  # its complement is what bytes.strip removes


class Changed(Unreadable):
    """The file is no longer the one that was opened."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} changed while it was open.", "Open it again.")


class _Rows(msgspec.Struct):
    source: tuple[int, int, int]
    offsets: memoryview
    gap_rows: memoryview
    gaps: memoryview


class _Sum(msgspec.Struct):
    source: tuple[int, int, int]
    sha256: str


Cached = TypeVar("Cached", _Rows, _Sum)


class DataFile:
    """A file, as it was when this object was made, and what the cache has about it."""

    def __init__(self, path: Path, cache: Path) -> None:
        """Raises OSError."""
        self.path, self._cache = path, cache
        self.source = _identity(path.stat())
        self.size = self.source[0]

    def check(self, descriptor: int) -> None:
        if _identity(os.fstat(descriptor)) != self.source:
            raise Changed(self.path)

    def load_cached(self, kind: type[Cached]) -> Cached | None:
        cached = kept.load(self._cache_path(kind), kind)
        return cached if cached and cached.source == self.source else None

    def save_cached(self, value: _Rows | _Sum) -> None:
        """Write `value` to the cache. Errors are ignored, because the cache is never needed."""
        if self.size >= MIN_CACHED_BYTES:
            with suppress(OSError):
                kept.save(self._cache_path(type(value)), value)

    def sha256(self, read: Read, cancelled: Cancelled) -> str | None:
        """Compute the checksum of the file's bytes; None if cancelled. A gigabyte takes about a second the first time.

        Raises OSError and Changed.
        """
        if cached := self.load_cached(_Sum):
            return cached.sha256
        sums = hashlib.sha256()
        with self.path.open("rb", buffering=0) as file:
            self.check(file.fileno())
            while data := file.read(SLICE):
                sums.update(data)
                if cancelled():
                    return None
                read(file.tell())
            self.check(file.fileno())
        self.save_cached(_Sum(self.source, sums.hexdigest()))
        return sums.hexdigest()

    def _cache_path(self, kind: type) -> Path:
        return kept.cache_path(self._cache, "rows" if kind is _Rows else "sum", str(self.path.absolute()))


class Lines:
    """The rows of a JSONL file. The rows that `build` has found so far can be read."""

    def __init__(self, on_disk: DataFile, file: int) -> None:
        self.complete = False
        self._on_disk, self._file = on_disk, file
        self._at = 0  # bytes scanned so far
        self._in_row = False  # whether a row continues at `_at`
        self._ahead = 0  # blank lines so far: a row's line number is ahead of its row number by them
        # The offsets of all rows and the end of the last one. From row `_gap_rows[i]` on, lines are `_gaps[i]` ahead.
        self._offsets, self._gap_rows, self._gaps = array("Q"), array("Q"), array("Q")

    def __len__(self) -> int:
        return max(0, len(self._offsets) - 1)

    def build(self, read: Read, cancelled: Cancelled) -> bool:
        """Find the rows, from where the last call was cancelled. Returns True when done. Raises OSError and Changed."""
        if not self.complete and not self._restore():
            with self._on_disk.path.open("rb", buffering=0) as file:
                self._on_disk.check(file.fileno())
                while self._at < self._on_disk.size:
                    if cancelled():
                        return False
                    data = os.pread(file.fileno(), min(SLICE, self._on_disk.size - self._at), self._at)
                    if not data:
                        raise Changed(self._on_disk.path)
                    self._find_rows(data)
                    self._at += len(data)
                    read(self._at)
                self._on_disk.check(file.fileno())
            self._offsets.append(self._on_disk.size)
            self.complete = True
            columns = (memoryview(column).cast("B") for column in (self._offsets, self._gap_rows, self._gaps))
            self._on_disk.save_cached(_Rows(self._on_disk.source, *columns))
        return True

    def record(self, row: int) -> Record:
        return self._parse(row, self.text(row, MAX_LINE_BYTES + 1))

    def records(self, start: int) -> Iterator[Record]:
        """Yield the rows from `start` on, in a third of the time that `record` needs."""
        offsets, row = self._offsets, start
        with self._on_disk.path.open("rb", buffering=0) as file:
            self._on_disk.check(file.fileno())
            while row < len(self):
                begin = offsets[row]
                stop = max(row + 1, bisect_right(offsets, begin + SLICE) - 1)
                length = min(offsets[stop] - begin, MAX_LINE_BYTES + 1)
                data = os.pread(file.fileno(), length, begin)
                if len(data) < length:
                    raise Changed(self._on_disk.path)
                for number in range(row, stop):
                    text = data[offsets[number] - begin : offsets[number + 1] - begin].rstrip()
                    yield self._parse(number, text)
                row = stop
            self._on_disk.check(file.fileno())

    def text(self, row: int, limit: int | None) -> bytes:
        begin, end = self._offsets[row : row + 2]
        length = end - begin if limit is None else min(limit, end - begin)
        with self._on_disk.path.open("rb", buffering=0) as file:
            self._on_disk.check(file.fileno())
            data = os.pread(file.fileno(), length, begin)
        if len(data) < length:
            raise Changed(self._on_disk.path)
        return data.rstrip()  # without the line end and the blank lines after it

    def line(self, row: int) -> int:
        gap = bisect_right(self._gap_rows, row) - 1
        return row + 1 + (self._gaps[gap] if gap >= 0 else 0)

    def search(self, needles: list[bytes], start: int, read: Read, cancelled: Cancelled) -> Iterator[int]:
        """Yield the rows that contain one of `needles` (lower case), including rows that `build` finds meanwhile."""
        offsets, last = self._offsets, -1
        at = offsets[start] if start < len(self) else self._on_disk.size
        beyond = max(map(len, needles)) - 1
        with self._on_disk.path.open("rb", buffering=0) as file:
            self._on_disk.check(file.fileno())
            while offsets and at < offsets[-1] and not cancelled():
                data = os.pread(file.fileno(), min(SLICE + beyond, offsets[-1] - at), at).lower()
                if not data:
                    raise Changed(self._on_disk.path)
                for row in sorted({row for needle in needles for row in self._rows_with(needle, data, at)}):
                    if row > last:
                        yield row
                        last = row
                at += SLICE
                read(min(at, self._on_disk.size))

    def _parse(self, row: int, text: bytes) -> Record:
        try:
            return Record(self._file, self.line(row), parse_line(text))
        except BadRow as problem:
            return Record(self._file, self.line(row), None, str(problem))

    def _rows_with(self, needle: bytes, data: bytes, base: int) -> Iterator[int]:
        """Yield each row with a `needle` that begins in this slice once."""
        stop = SLICE + len(needle) - 1
        hit = data.find(needle, 0, stop)
        while hit >= 0:
            row = bisect_right(self._offsets, base + hit) - 1
            if needle == needle.strip() or needle in self.text(row, None).lower():  # don't count the blanks after a row
                yield row
            hit = data.find(needle, self._offsets[row + 1] - base, stop)

    def _find_rows(self, data: bytes) -> None:
        """Find rows in the next `data` of the file. For a large file, nearly all time goes into the inner loop."""
        append, find, base, size = self._offsets.append, data.find, self._at, len(data)
        at = len(BYTE_ORDER_MARK) if base == 0 and data.startswith(BYTE_ORDER_MARK) else 0
        ahead = self._ahead
        while at < size:
            if not self._in_row:
                text = _TEXT.search(data, at)
                stop = text.start() if text else size
                ahead += data.count(b"\n", at, stop)
                if text is None:
                    break
                if ahead != (self._gaps[-1] if self._gaps else 0):
                    self._gap_rows.append(len(self._offsets))
                    self._gaps.append(ahead)
                at = stop
                append(base + at)
            while (at := find(b"\n", at) + 1) and at < size and data[at] > 32:
                append(base + at)
            self._in_row = not at
            if self._in_row:
                break
        self._ahead = ahead

    def _restore(self) -> bool:
        cached = self._on_disk.load_cached(_Rows) if self._at == 0 else None
        if cached is None:
            return False
        self._gap_rows.frombytes(cached.gap_rows)
        self._gaps.frombytes(cached.gaps)
        self._offsets.frombytes(cached.offsets)
        self.complete = True
        return True


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ino
