"""Finds bad rows and duplicates, and how the rows were read, in one pass over a dataset."""

from __future__ import annotations

import json
import re
import time
from array import array
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from training.contract.profile import Profile
from training.dataset import kept
from training.dataset.duplicates import Duplicates
from training.dataset.index import RowIndex
from training.dataset.messages import format_answer
from training.dataset.records import BadRow, Record
from training.dataset.shapes import Columns, Reading, Row, Tally, read_row
from training.dataset.split import choose_eval_rows

VERSION = 3
BAD, EXACT, NEAR, HELD_OUT = 1, 2, 4, 8
"""Flags of a row's state. Of equal rows, only the later ones have the flag of a duplicate."""

MAX_PROBLEMS = 1000  # bad rows whose messages are kept
MAX_REASONS = 50
MAX_COLUMNS = 256
LONG_TEXT = 40  # an ignored column with more characters a row on average may be one to learn from
PROGRESS_SECONDS = 0.25


class Problem(msgspec.Struct, frozen=True):
    """Why the model can't learn from the row on `line` of file number `file`."""

    file: int
    line: int
    message: str


@dataclass
class Scan:
    """The result. Rows are numbered from 0 over all files, good and bad, as in RowIndex."""

    states: bytearray
    twins: array[int]  # the number of the first equal or similar row; the row's own number if there is none
    problems: dict[int, Problem] = field(default_factory=dict)  # by row, for the first MAX_PROBLEMS bad rows
    reasons: dict[str, int] = field(default_factory=dict)  # number of bad rows by reason, most frequent first
    reading: Reading = field(default_factory=Reading)
    near_counted: bool = True  # False if the dataset is too long: then only rows with the same words count
    same_answer: int = 0  # rows with the same answer as the first row
    wordless_answers: int = 0  # answers without any letter or digit
    system_rows: int = 0  # rows with a system message of their own
    text_columns: tuple[str, ...] = ()  # ignored columns with a lot of text
    overlap: int = 0  # evaluation rows that are equal or similar to a training row
    validation: int = 0  # the last rows, good and bad, that belong to the validation split

    @property
    def rows(self) -> int:
        return len(self.states)

    @property
    def kept(self) -> int:
        """Number of good rows."""
        return self.rows - self.count(BAD)

    @property
    def kept_validation(self) -> int:
        """Number of good rows of the validation split."""
        return sum(not state & BAD for state in self.states[self.rows - self.validation :])

    def count(self, flags: int) -> int:
        """Count the rows that have any of `flags`."""
        return self.states.translate(_matching(flags)).count(1)

    def positions(self, flags: int) -> array[int]:
        """List the rows that have any of `flags`, ascending."""
        marked, rows, at = self.states.translate(_matching(flags)), array("I"), -1
        while (at := marked.find(1, at + 1)) >= 0:
            rows.append(at)
        return rows

    def good(self) -> array[int] | range:
        """List the good rows, in order. Positions in this list are those of `split.choose_eval_rows` and `Lengths`."""
        if BAD not in self.states:
            return range(self.rows)
        return array("I", (row for row, state in enumerate(self.states) if not state & BAD))

    def alike(self) -> set[int]:
        """List the rows that are equal or similar to another one, including the first of each kind."""
        later = self.positions(EXACT | NEAR)
        return {*later, *(self.twins[row] for row in later)}

    def split(self, profile: Profile) -> None:
        """Mark the rows that are not trained on: the evaluation rows that `profile` chooses, and all rows of the
        validation split. Count the evaluation rows with an equal or similar training row."""
        self.states = self.states.translate(bytes(state & ~HELD_OUT for state in range(256)))
        good = self.good()
        outside = self.kept_validation
        held = [good[position] for position in choose_eval_rows(len(good), profile, outside)]
        for row in (*held, *good[len(good) - outside :]):
            self.states[row] |= HELD_OUT
        alike = self.alike()
        trained = {self.twins[row] for row in alike if not self.states[row] & HELD_OUT}
        self.overlap = sum(row in alike and self.twins[row] in trained for row in held)


def scan(
    index: RowIndex,
    columns: Columns,
    profile: Profile,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Scan | None:
    """Read every row once; None if cancelled. Calls `progress` with the rows done and the total, a few times a second.

    Raises OSError and Unreadable if a file can no longer be read.
    """
    total = len(index)
    result = Scan(bytearray(total), array("I", range(total)), validation=index.count_validation())
    scanner = _Scanner(result, Duplicates(total))
    reported_at = time.monotonic()
    for row, record in enumerate(index.records()):
        if row % 64 == 0 and time.monotonic() - reported_at > PROGRESS_SECONDS:
            if cancelled and cancelled():
                return None
            reported_at = time.monotonic()
            if progress:
                progress(row, total)
        scanner.add(row, record, columns)
    scanner.finish()
    result.split(profile)
    return result


class _Scanner:
    """Fills a Scan, one row after the other."""

    def __init__(self, result: Scan, duplicates: Duplicates) -> None:
        self._result, self._duplicates = result, duplicates
        result.near_counted = duplicates.near_counted
        self._tally = Tally()
        self._reasons: Counter[str] = Counter()
        self._characters: Counter[str] = Counter()
        self._first_answer: str | None = None

    def add(self, row: int, record: Record, columns: Columns) -> None:
        try:
            good = read_row(record, columns)
        except BadRow as problem:
            self._add_bad(row, record, str(problem))
            return
        self._tally.add(good)
        for name, value in good.raw.items():
            if isinstance(value, str) and (name in self._characters or len(self._characters) < MAX_COLUMNS):
                self._characters[name] += len(value)
        self._look_at_answer(good)
        self._look_for_twin(row, good)

    def finish(self) -> None:
        result = self._result
        result.reading = self._tally.reading
        result.reasons = dict(self._reasons.most_common())
        long = LONG_TEXT * max(1, result.kept)
        result.text_columns = tuple(name for name in result.reading.ignored if self._characters[name] >= long)

    def _add_bad(self, row: int, record: Record, message: str) -> None:
        self._tally.add_bad(record)
        self._result.states[row] = BAD
        if len(self._result.problems) < MAX_PROBLEMS:
            self._result.problems[row] = Problem(record.file, record.line, message)
        reason = generalise(message)
        self._reasons[reason if reason in self._reasons or len(self._reasons) < MAX_REASONS else "other"] += 1

    def _look_at_answer(self, good: Row) -> None:
        if good.text is not None:
            return
        self._result.system_rows += good.messages[0]["role"] == "system"
        answer = format_answer(good.messages[-1]).strip()
        if self._first_answer is None:
            self._first_answer = answer
        self._result.same_answer += answer == self._first_answer
        self._result.wordless_answers += not any(map(str.isalnum, answer))

    def _look_for_twin(self, row: int, good: Row) -> None:
        """Compare the row with earlier ones, without the system message: often all rows have the same one."""
        result = self._result
        texts = [json.dumps(message, sort_keys=True) for message in good.messages]
        first = self._duplicates.exact(row, texts if good.text is None else ["", good.text])
        if first != row:
            result.states[row], result.twins[row] = EXACT, result.twins[first]
            return
        contents = (message["content"] for message in good.messages if message["role"] != "system")
        first = self._duplicates.near(row, "\n".join(contents) if good.text is None else good.text)
        if first != row:
            result.states[row], result.twins[row] = NEAR, first


def generalise(message: str) -> str:
    """Remove from a message about a row what differs from row to row."""
    message = re.sub(r" \(.*?\)", "", message)
    message = re.sub(r"(not valid \w+|nothing after it was read):.*", r"\1", message)
    return re.sub(r"\b(message|has|names) \d+", r"\1 …", message)


def _matching(flags: int) -> bytes:
    return bytes(bool(state & flags) for state in range(256))


class _Cached(msgspec.Struct):
    version: int
    states: bytes
    twins: bytes
    problems: dict[int, Problem]
    reasons: dict[str, int]
    reading: dict[str, Any]
    near_counted: bool
    same_answer: int
    wordless_answers: int
    system_rows: int
    text_columns: tuple[str, ...]
    overlap: int
    validation: int


def cache_path(cache: Path, fingerprint: str, columns: Columns, validation: int = 0) -> Path:
    """Return the path in the cache. `fingerprint` is the dataset's checksum, `validation` the number of its last rows
    that are the validation split. The choice of evaluation rows is left to `load`."""
    return kept.cache_path(cache, "scan", VERSION, fingerprint, columns.key(), validation)


def save(path: Path, result: Scan) -> None:
    """Write the scan to the cache. Raises OSError."""
    values = {name: getattr(result, name) for name in Scan.__dataclass_fields__}
    values |= {"states": bytes(result.states), "twins": result.twins.tobytes(), "reading": asdict(result.reading)}
    kept.save(path, _Cached(VERSION, **values))


def load(path: Path, profile: Profile | None = None, rows: int | None = None) -> Scan | None:
    """Load the scan; None if it is missing, damaged, or not that of `rows` rows. If `profile` is given, the evaluation
    rows are those of this profile; otherwise those that were saved."""
    cached = kept.load(path, _Cached)
    if cached is None or cached.version != VERSION or len(cached.twins) != 4 * len(cached.states):
        return None
    if cached.validation > len(cached.states) or (rows is not None and len(cached.states) != rows):
        return None
    if max(array("I", cached.twins), default=0) >= max(1, len(cached.states)):
        return None
    values = {name: getattr(cached, name) for name in Scan.__dataclass_fields__}
    values |= {"states": bytearray(cached.states), "twins": array("I", cached.twins)}
    try:
        values["reading"] = msgspec.convert(cached.reading, Reading)
    except msgspec.ValidationError:
        return None
    result = Scan(**values)
    if profile is not None:
        result.split(profile)
    return result


def try_to_save(path: Path, result: Scan) -> None:
    """Write the scan to the cache. Errors are ignored, because the cache is never needed."""
    with suppress(OSError):
        save(path, result)


def load_or_scan(
    index: RowIndex,
    columns: Columns,
    profile: Profile,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    keep: Callable[[Path, Scan], None] = try_to_save,
) -> tuple[Path, Scan] | None:
    """Load the scan from the cache, or scan all rows and `keep` the result. Returns its path and the scan; None if
    cancelled. The evaluation rows are those of `profile`.

    Raises OSError and Unreadable, and what `keep` raises.
    """
    fingerprint = index.fingerprint(cancelled=cancelled)
    if fingerprint is None:
        return None
    path = cache_path(cache, fingerprint, columns, index.count_validation())
    if cached := load(path, profile, len(index)):
        return path, cached
    if (result := scan(index, columns, profile, progress, cancelled)) is None:
        return None
    keep(path, result)
    return path, result
