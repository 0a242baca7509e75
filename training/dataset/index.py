"""Any row of a dataset at once, by its position among all rows, good and bad, of all its files.

Of a JSONL file only the places of its rows are held (see lines.py), and found in a second for a gigabyte. The rows of a
JSON array, a CSV or a Parquet file are held in memory, as much as they take on the disk without compression; reading a
JSON array takes ten times as much for a moment.

    index = RowIndex(source, cache)
    index.build()          in a thread: rows found so far can be read meanwhile, and `len` grows
    index.record(15_000)
"""

from __future__ import annotations

import hashlib
import json
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from training.dataset.lines import Cancelled, Changed, DataFile, Lines, Read
from training.dataset.records import Record, format_of, records
from training.dataset.source import Source

__all__ = ["Changed", "Progress", "RowIndex"]

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in all, some thousand times a gigabyte."""
LOOK_EVERY = 256  # rows held between two looks at `cancelled`


class RowIndex:
    """`complete` says whether all rows have been found; until then there may be more than `len`."""

    def __init__(self, source: Source, cache: Path) -> None:
        """Reads almost nothing; `cache` is the app's cache folder. Raises OSError."""
        self.source = source
        self._files = [DataFile(path, cache) for path in source.files]
        self._parts: list[Lines | _Held] = [
            Lines(on_disk, number) if format_of(on_disk.path) == "jsonl" else _Held(on_disk, number)
            for number, on_disk in enumerate(self._files)
        ]
        self._ends: list[int] = []  # rows up to the end of each file that is complete
        self.size = sum(on_disk.size for on_disk in self._files)

    @classmethod
    def open(
        cls, source: Source, cache: Path, progress: Progress | None = None, cancelled: Cancelled | None = None
    ) -> RowIndex:
        """The index, complete unless `cancelled`. Raises OSError and Unreadable."""
        index = cls(source, cache)
        index.build(progress, cancelled)
        return index

    def build(self, progress: Progress | None = None, cancelled: Cancelled | None = None) -> bool:
        """Finds the rows, on from where it was cancelled; True once that is done. Raises OSError and Unreadable, of
        which `Changed` says that a file was written to meanwhile; the index is then of no further use."""
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
        """Raises IndexError, OSError and Changed, as `text` does."""
        file, row = self._place(position)
        return self._parts[file].record(row)

    def records(self, start: int = 0) -> Iterator[Record]:
        """Those found so far, from `start` on: for whoever needs them all. Raises OSError and Changed."""
        first, row = self._place(start) if 0 <= start < len(self) else (len(self._parts), 0)
        for part in self._parts[first : len(self._ends) + 1]:
            yield from part.records(row)
            row = 0

    def text(self, position: int, limit: int | None = None) -> bytes:
        """The row as its file has it, without the line end, of at most `limit` bytes; as JSON where the file has no
        lines. Of a row that could not be read from such a file, nothing."""
        file, row = self._place(position)
        return self._parts[file].text(row, limit)

    def line(self, position: int) -> int:
        file, row = self._place(position)
        return self._parts[file].line(row)

    def file(self, position: int) -> int:
        """The number of its file in `source.files`."""
        return self._place(position)[0]

    def search(
        self,
        text: str,
        start: int = 0,
        cancelled: Cancelled | None = None,
        progress: Progress | None = None,
    ) -> Iterator[int]:
        """Positions from `start` on of rows whose text has `text`, written out or escaped as JSON does; A to Z are
        taken for a to z. Ends early once `cancelled`. Raises OSError and Changed."""
        needles = _needles(text)
        first, row = self._place(start) if 0 <= start < len(self) else (len(self._parts), 0)
        for number in range(first, min(len(self._ends) + 1, len(self._parts)) if needles else first):
            before = self._ends[number - 1] if number else 0
            read = self._reporter(number, progress)
            for found in self._parts[number].search(needles, row, read, cancelled or _never):
                yield before + found
            row = 0

    def fingerprint(self, progress: Progress | None = None, cancelled: Cancelled | None = None) -> str | None:
        """What source.sha256 tells, kept for the next time; None once `cancelled`. A gigabyte takes a second or two,
        so ask in a thread. Raises OSError and Changed."""
        sums = []
        for number, on_disk in enumerate(self._files):
            found = on_disk.sha256(self._reporter(number, progress), cancelled or _never)
            if found is None:
                return None
            sums.append(found)
        return sums[0] if len(sums) == 1 else hashlib.sha256("".join(sums).encode()).hexdigest()

    def _place(self, position: int) -> tuple[int, int]:
        """The file's number, and the row in it."""
        if not 0 <= position < len(self):
            raise IndexError(f"there is no row {position}; there are {len(self)}")
        file = bisect_right(self._ends, position)
        return file, position - (self._ends[file - 1] if file else 0)

    def _reporter(self, number: int, progress: Progress | None) -> Read:
        before = sum(on_disk.size for on_disk in self._files[:number])
        return lambda read: progress(before + read, self.size) if progress else None


class _Held:
    """The rows of a file that can only be read from its beginning, as JSON: a quarter of what the objects take."""

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
            some = list(islice(self._rest, LOOK_EVERY))
            self._lines.extend(record.line for record in some)
            self._rows += map(_packed, some)
            self.complete = len(some) < LOOK_EVERY
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
            if row % LOOK_EVERY == 0 and cancelled():
                return
            text = self.text(row, None).lower()
            if any(needle in text for needle in needles):
                yield row
        read(self._on_disk.size)


def _packed(record: Record) -> bytes | Record:
    """A row that is bad, or has what JSON can't say, is held as it is."""
    try:
        return record if record.raw is None else json.dumps(record.raw, ensure_ascii=False).encode()
    except (TypeError, ValueError):
        return record


def _never() -> bool:
    return False


def _needles(text: str) -> list[bytes]:
    """The ways in which a file may have `text`: as it is, and escaped as JSON does it, of ASCII alone or not."""
    forms = {text, json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]}
    return sorted(form.encode("utf-8", "surrogatepass").lower() for form in forms if form and "\n" not in form)
