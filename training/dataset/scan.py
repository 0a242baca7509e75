"""What one pass over all rows of a dataset found: which are bad and why, which say the same, how they were read."""

from __future__ import annotations

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
from training.dataset.records import BadRow, Record
from training.dataset.shapes import Columns, Reading, Row, Tally, row_of
from training.dataset.split import choose_eval_rows

VERSION = 1
BAD, EXACT, NEAR, HELD_OUT = 1, 2, 4, 8
"""Flags of a row's state. A duplicate is the later of two; the first of its kind has no flag."""

MOST_PROBLEMS = 1000  # whose texts are kept
MOST_REASONS = 50
MOST_COLUMNS = 256
LONG_TEXT = 40  # characters a row on average: a column with more looks like something to learn from
PROGRESS_SECONDS = 0.25


class Problem(msgspec.Struct, frozen=True):
    """Why the row on `line` of file number `file` can't be learned from."""

    file: int
    line: int
    message: str


@dataclass
class Scan:
    """Rows count from 0 over all files, good and bad, as RowIndex has them."""

    states: bytearray
    twins: array[int]  # the first row that says the same; a row's own number where it is new
    problems: dict[int, Problem] = field(default_factory=dict)  # by row; of the first MOST_PROBLEMS bad ones
    reasons: dict[str, int] = field(default_factory=dict)  # rows by what is wrong with them, most frequent first
    reading: Reading = field(default_factory=Reading)
    near_counted: bool = True  # else the dataset is too long, and only equal words were counted
    same_answer: int = 0  # rows that answer as the first one does
    wordless_answers: int = 0  # answers without one letter or digit
    system_rows: int = 0  # rows with a system message of their own
    text_columns: tuple[str, ...] = ()  # ignored columns with a lot of text
    overlap: int = 0  # rows held out that say the same as one that is trained on

    @property
    def rows(self) -> int:
        return len(self.states)

    @property
    def kept(self) -> int:
        """Rows that can be learned from."""
        return self.rows - self.count(BAD)

    def count(self, flags: int) -> int:
        """Rows that have any of `flags`."""
        return self.states.translate(_having(flags)).count(1)

    def positions(self, flags: int) -> array[int]:
        """The rows that have any of `flags`, ascending."""
        marked, found, at = self.states.translate(_having(flags)), array("I"), -1
        while (at := marked.find(1, at + 1)) >= 0:
            found.append(at)
        return found

    def good(self) -> array[int] | range:
        """The row of each good one, in order: what `split.choose_eval_rows` and `Lengths` count in."""
        if BAD not in self.states:
            return range(self.rows)
        return array("I", (row for row, state in enumerate(self.states) if not state & BAD))

    def alike(self) -> set[int]:
        """The rows that say the same as another, the first of each kind included."""
        later = self.positions(EXACT | NEAR)
        return {*later, *(self.twins[row] for row in later)}

    def split(self, profile: Profile) -> None:
        """Marks the rows that `profile` holds out, and counts those that have a twin in the other part."""
        self.states = self.states.translate(bytes(state & ~HELD_OUT for state in range(256)))
        good = self.good()
        held = [good[position] for position in choose_eval_rows(len(good), profile)]
        for row in held:
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
    """Reads every row once; None once `cancelled`. `progress` is told now and then how many are done, and of how many.

    Raises OSError and Unreadable where a file can't be read any more.
    """
    total = len(index)
    found = Scan(bytearray(total), array("I", range(total)))
    look = _Look(found, Duplicates(total))
    told_at = time.monotonic()
    for row, record in enumerate(index.records()):
        if row % 64 == 0 and time.monotonic() - told_at > PROGRESS_SECONDS:
            if cancelled and cancelled():
                return None
            told_at = time.monotonic()
            if progress:
                progress(row, total)
        look.at(row, record, columns)
    look.finish()
    found.split(profile)
    return found


class _Look:
    """Adds up one row after the other."""

    def __init__(self, found: Scan, duplicates: Duplicates) -> None:
        self._found, self._duplicates = found, duplicates
        found.near_counted = duplicates.near_counted
        self._tally = Tally()
        self._reasons: Counter[str] = Counter()
        self._characters: Counter[str] = Counter()
        self._first_answer: str | None = None

    def at(self, row: int, record: Record, columns: Columns) -> None:
        try:
            good = row_of(record, columns)
        except BadRow as problem:
            self._bad(row, record, str(problem))
            return
        self._tally.add(good)
        for name, value in good.raw.items():
            if isinstance(value, str) and (name in self._characters or len(self._characters) < MOST_COLUMNS):
                self._characters[name] += len(value)
        self._answer(good)
        self._twin(row, good)

    def finish(self) -> None:
        found = self._found
        found.reading = self._tally.reading
        found.reasons = dict(self._reasons.most_common())
        least = LONG_TEXT * max(1, found.kept)
        found.text_columns = tuple(name for name in found.reading.ignored if self._characters[name] >= least)

    def _bad(self, row: int, record: Record, message: str) -> None:
        self._tally.add_bad(record)
        self._found.states[row] = BAD
        if len(self._found.problems) < MOST_PROBLEMS:
            self._found.problems[row] = Problem(record.file, record.line, message)
        reason = reason_of(message)
        self._reasons[reason if reason in self._reasons or len(self._reasons) < MOST_REASONS else "other"] += 1

    def _answer(self, good: Row) -> None:
        if good.text is not None:
            return
        self._found.system_rows += good.messages[0]["role"] == "system"
        answer = good.messages[-1]["content"].strip()
        if self._first_answer is None:
            self._first_answer = answer
        self._found.same_answer += answer == self._first_answer
        self._found.wordless_answers += not any(map(str.isalnum, answer))

    def _twin(self, row: int, good: Row) -> None:
        """A system message is often the same in all rows, and says nothing of whether they are alike."""
        found = self._found
        texts = [part for message in good.messages for part in (message["role"], message["content"])]
        first = self._duplicates.exact(row, texts if good.text is None else ["", good.text])
        if first != row:
            found.states[row], found.twins[row] = EXACT, found.twins[first]
            return
        said = (message["content"] for message in good.messages if message["role"] != "system")
        first = self._duplicates.near(row, "\n".join(said) if good.text is None else good.text)
        if first != row:
            found.states[row], found.twins[row] = NEAR, first


def reason_of(message: str) -> str:
    """What is wrong, without what differs from row to row."""
    message = re.sub(r" \(.*?\)", "", message)
    message = re.sub(r"(not valid \w+|nothing after it was read):.*", r"\1", message)
    return re.sub(r"\b(message|has|names) \d+", r"\1 …", message)


def _having(flags: int) -> bytes:
    return bytes(bool(state & flags) for state in range(256))


class _Kept(msgspec.Struct):
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


def place(cache: Path, fingerprint: str, columns: Columns) -> Path:
    """Where the scan is kept: `fingerprint` is of the dataset's bytes. The split is no part of it; it is made anew."""
    return kept.place(cache, "scan", VERSION, fingerprint, columns.key())


def save(path: Path, found: Scan) -> None:
    """Raises OSError."""
    values = {name: getattr(found, name) for name in Scan.__dataclass_fields__}
    values |= {"states": bytes(found.states), "twins": found.twins.tobytes(), "reading": asdict(found.reading)}
    kept.save(path, _Kept(VERSION, **values))


def load(path: Path, profile: Profile | None = None, rows: int | None = None) -> Scan | None:
    """The scan as it was saved, or split anew as `profile` says. None where it is not there, damaged, or not of `rows`
    rows."""
    got = kept.load(path, _Kept)
    if got is None or got.version != VERSION or len(got.twins) != 4 * len(got.states):
        return None
    if rows is not None and len(got.states) != rows:
        return None
    if max(array("I", got.twins), default=0) >= max(1, len(got.states)):
        return None
    values = {name: getattr(got, name) for name in Scan.__dataclass_fields__}
    values |= {"states": bytearray(got.states), "twins": array("I", got.twins)}
    try:
        values["reading"] = msgspec.convert(got.reading, Reading)
    except msgspec.ValidationError:
        return None
    found = Scan(**values)
    if profile is not None:
        found.split(profile)
    return found


def try_to_save(path: Path, found: Scan) -> None:
    """A cache that can't be written is no reason to complain."""
    with suppress(OSError):
        save(path, found)


def kept_or_made(
    index: RowIndex,
    columns: Columns,
    profile: Profile,
    cache: Path,
    progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    keep: Callable[[Path, Scan], None] = try_to_save,
) -> tuple[Path, Scan] | None:
    """The scan of all rows, split as `profile` says, and its file, which is made by `keep` where there is none; None
    once `cancelled`. Raises as `scan` and `keep`."""
    fingerprint = index.fingerprint(cancelled=cancelled)
    if fingerprint is None:
        return None
    path = place(cache, fingerprint, columns)
    if known := load(path, profile, len(index)):
        return path, known
    if (made := scan(index, columns, profile, progress, cancelled)) is None:
        return None
    keep(path, made)
    return path, made
