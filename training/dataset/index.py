"""Gives any row of a dataset at once, by its position among all rows, good and bad, of all files.

For a JSONL file only the offsets of the rows are held in memory (see lines.py). Finding them takes a second for a
gigabyte. The rows of a JSON array, a CSV, a Parquet or a compressed file are held in memory, and take as much of it as
they take on the disk uncompressed. Reading a JSON array needs ten times as much for a moment.

    index = RowIndex(source, cache)
    index.build()          # in a thread; rows found so far can be read meanwhile, and `len` grows
    index.record(15_000)
"""

from __future__ import annotations

import json
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from training.dataset.formats import find_compression, format_of
from training.dataset.lines import Cancelled, Changed, DataFile, Lines, Read
from training.dataset.records import Record, records
from training.dataset.source import Source, combine_checksums

__all__ = ["Changed", "OnCount", "RowIndex"]

OnCount = Callable[[int, int], None]
"""Called with the bytes done and the total, about a thousand times for a gigabyte."""
ROWS_PER_CHECK = 256  # rows read between two checks of `cancelled`


class RowIndex:
    """The rows of a dataset. Until `complete` is True, there may be more rows than `len` says."""

    def __init__(self, source: Source, cache: Path) -> None:
        """Reads only the beginning of each file. `cache` is the app's cache folder. Raises OSError and Unreadable."""
        self.source = source
        self._files = [DataFile(path, cache) for path in source.files]
        self._parts: list[Lines | _RowsInMemory] = [
            Lines(on_disk, number) if _has_lines(on_disk.path) else _RowsInMemory(on_disk, number)
            for number, on_disk in enumerate(self._files)
        ]
        self._ends: list[int] = []  # rows up to the end of each file that is complete
        self.size = sum(on_disk.size for on_disk in self._files)

    @classmethod
    def open(
        cls, source: Source, cache: Path, progress: OnCount | None = None, cancelled: Cancelled | None = None
    ) -> RowIndex:
        """Build an index. It is complete unless it was cancelled. Raises OSError and Unreadable."""
        index = cls(source, cache)
        index.build(progress, cancelled)
        return index

    def build(self, progress: OnCount | None = None, cancelled: Cancelled | None = None) -> bool:
        """Find the rows, from where the last call was cancelled. Returns True when done.

        Raises OSError and Unreadable. Its subclass Changed means that a file was written to meanwhile; the index is of
        no use then.
        """
        for number in range(len(self._ends), len(self._parts)):
            part = self._parts[number]
            if not part.build(self._reporter(number, progress), cancelled or _never):
                return False
            self._ends.append((self._ends[-1] if self._ends else 0) + len(part))
        return True

    @property
    def complete(self) -> bool:
        return len(self._ends) == len(self._parts)

    def __len__(self) -> int:
        done = len(self._ends)
        before = self._ends[done - 1] if done else 0
        return before + (len(self._parts[done]) if done < len(self._parts) else 0)

    def record(self, position: int) -> Record:
        """Read the row at `position`. Raises IndexError, OSError and Changed."""
        file, row = self._locate(position)
        return self._parts[file].record(row)

    def records(self, start: int = 0) -> Iterator[Record]:
        """Yield the rows found so far, from `start` on. This is the fastest way. Raises OSError and Changed."""
        first, row = self._locate(start) if 0 <= start < len(self) else (len(self._parts), 0)
        for part in self._parts[first : len(self._ends) + 1]:
            yield from part.records(row)
            row = 0

    def count_validation(self) -> int:
        """Count the rows of the validation split, good and bad. They are the last ones of a complete index."""
        train_files = len(self.source.train_files)
        return len(self) - (self._ends[train_files - 1] if train_files else 0)

    def text(self, position: int, limit: int | None = None) -> bytes:
        """Read the first `limit` bytes of a row as the file has it, without the line end.

        In a file that has no lines, this is the row as JSON, or nothing if the row could not be read.
        Raises IndexError, OSError and Changed.
        """
        file, row = self._locate(position)
        return self._parts[file].text(row, limit)

    def line(self, position: int) -> int:
        file, row = self._locate(position)
        return self._parts[file].line(row)

    def file(self, position: int) -> int:
        """Return the number of the row's file in `source.files`."""
        return self._locate(position)[0]

    def search(
        self,
        text: str,
        start: int = 0,
        cancelled: Cancelled | None = None,
        progress: OnCount | None = None,
    ) -> Iterator[int]:
        """Yield the positions of rows that contain `text`, from `start` on. `text` is matched as it is and in JSON's
        escapes, and A to Z match a to z. Ends early if cancelled. Raises OSError and Changed."""
        needles = _needles(text)
        first, row = self._locate(start) if 0 <= start < len(self) else (len(self._parts), 0)
        for number in range(first, min(len(self._ends) + 1, len(self._parts)) if needles else first):
            before = self._ends[number - 1] if number else 0
            read = self._reporter(number, progress)
            for match in self._parts[number].search(needles, row, read, cancelled or _never):
                yield before + match
            row = 0

    def fingerprint(self, progress: OnCount | None = None, cancelled: Cancelled | None = None) -> str | None:
        """Compute the same checksum as source.sha256, with the help of the cache; None if cancelled. A gigabyte takes a
        second or two, so call this in a thread. Raises OSError and Changed."""
        sums = []
        for number, on_disk in enumerate(self._files):
            checksum = on_disk.sha256(self._reporter(number, progress), cancelled or _never)
            if checksum is None:
                return None
            sums.append(checksum)
        return combine_checksums(sums)

    def _locate(self, position: int) -> tuple[int, int]:
        """Return the number of the row's file, and the row's number in that file."""
        if not 0 <= position < len(self):
            raise IndexError(f"there is no row {position}; there are {len(self)}")
        file = bisect_right(self._ends, position)
        return file, position - (self._ends[file - 1] if file else 0)

    def _reporter(self, number: int, progress: OnCount | None) -> Read:
        before = sum(on_disk.size for on_disk in self._files[:number])
        return lambda read: progress(before + read, self.size) if progress else None


class _RowsInMemory:
    """The rows of a file that can only be read from its beginning.

    They are held as JSON, which takes a quarter of the memory of Python objects.
    """

    def __init__(self, on_disk: DataFile, file: int) -> None:
        self.complete = False
        self._on_disk, self._file = on_disk, file
        self._rows: list[bytes | Record] = []
        self._lines = array("Q")
        self._rest: Iterator[Record] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def build(self, read: Read, cancelled: Cancelled) -> bool:
        self._rest = self._rest or records(self._on_disk.path, self._file)
        while not self.complete:
            if cancelled():
                return False
            batch = list(islice(self._rest, ROWS_PER_CHECK))
            self._lines.extend(record.line for record in batch)
            self._rows += map(_pack, batch)
            self.complete = len(batch) < ROWS_PER_CHECK
        read(self._on_disk.size)
        return True

    def record(self, row: int) -> Record:
        held = self._rows[row]
        return held if isinstance(held, Record) else Record(self._file, self.line(row), json.loads(held))

    def records(self, start: int) -> Iterator[Record]:
        return map(self.record, range(start, len(self)))

    def text(self, row: int, limit: int | None) -> bytes:
        held = self._rows[row]
        if isinstance(held, Record):
            return str(held.raw or "").encode("utf-8", "replace")[:limit]
        return held[:limit]

    def line(self, row: int) -> int:
        return self._lines[row]

    def search(self, needles: list[bytes], start: int, read: Read, cancelled: Cancelled) -> Iterator[int]:
        for row in range(start, len(self)):
            if row % ROWS_PER_CHECK == 0 and cancelled():
                return
            text = self.text(row, None).lower()
            if any(needle in text for needle in needles):
                yield row
        read(self._on_disk.size)


def _has_lines(path: Path) -> bool:
    return format_of(path) == "jsonl" and find_compression(path) is None


def _pack(record: Record) -> bytes | Record:
    """Turn a row into JSON. A bad row, or one with values that JSON doesn't have, is kept as an object."""
    try:
        return record if record.raw is None else json.dumps(record.raw, ensure_ascii=False).encode()
    except (TypeError, ValueError):
        return record


def _never() -> bool:
    return False


def _needles(text: str) -> list[bytes]:
    """List the forms of `text` in a file: as it is, and escaped as JSON, with all or only the necessary escapes."""
    forms = {text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]}
    return sorted(form.encode("utf-8", "surrogatepass").lower() for form in forms if form and "\n" not in form)
