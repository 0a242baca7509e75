"""The rows of a dataset for a list: found in the background, looked at one by one, filtered and searched.

What takes its time goes on in a thread, and `on_change` is called when there is something new. Nothing waits for it:
rows can be read as soon as they have been found in their file.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

from codex_tui.base import locations
from codex_tui.base.errors import CodexError
from codex_tui.data import sources
from codex_tui.data.filter import OWN_ORDER, Judged, Kind
from codex_tui.data.row_text import first_words
from codex_tui.data.target import Target
from training.dataset.index import RowIndex
from training.dataset.records import BadRow, Record, Unreadable
from training.dataset.shapes import Columns, row_of

LOOKED_AT = 64 * 1024  # bytes of a row from which the list takes its words
TOLD_EVERY = 0.1  # seconds between two reports from a thread
KEPT_LINES = 4096  # of the list
NONE = array("I")


@dataclass
class Work:
    """Something that goes on. `eta` is in seconds, None until it can be told."""

    what: str
    done: int
    total: int
    began: float

    @property
    def fraction(self) -> float:
        return self.done / self.total if self.total else 0.0

    @property
    def eta(self) -> float | None:
        spent = time.monotonic() - self.began
        return spent * (1 - self.fraction) / self.fraction if self.fraction and spent > 1 else None


@dataclass(frozen=True)
class Listed:
    """A line of the list, its texts as they came."""

    row: int
    signs: str
    words: str
    problem: str = ""


class DataRows:
    """Stands on one row of `target`, counted from 0 over all its files, good and bad."""

    def __init__(self, target: Target, on_change: Callable[[], None]) -> None:
        self.target = target
        self.index: RowIndex | None = None
        self.error: tuple[str, str] | None = None  # the dataset can't be read
        self.judged: Judged | None = None
        self.kind: Kind = "all"
        self.needle = ""
        self.row = 0
        self._place = 0  # where it was found in a list of an own order
        self.limit = target.profile.model.max_seq_length if target.profile else 0
        self.works: dict[str, Work] = {}
        self.columns = Columns.of(target.settings.dataset)
        self._on_change = on_change
        self._filtered: Sequence[int] | None = None  # None: all rows
        self._found: array[int] | None = None  # of the filtered ones those with the needle
        self._lines: dict[int, Listed] = {}
        self._built = asyncio.Event()
        self._closed, self._stop_search = Event(), Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Future[None]] = set()
        self._told_at = 0.0
        self._filterings = 0  # a newer one makes the older ones void

    @property
    def rows(self) -> int:
        """Found so far."""
        return len(self.index) if self.index else 0

    @property
    def complete(self) -> bool:
        return self.index is not None and self.index.complete

    @property
    def places(self) -> Sequence[int]:
        """The rows of the list, in its order."""
        if self._found is not None:
            return self._found
        return range(self.rows) if self._filtered is None else self._filtered

    @property
    def place(self) -> int:
        """Where the row that one stands on is in the list; somewhere near it where it is not."""
        places = self.places
        if isinstance(places, range):
            return min(self.row, max(0, len(places) - 1))
        if self.kind in OWN_ORDER:
            if self._place >= len(places) or places[self._place] != self.row:  # not looked for again at each paint
                self._place = 0
                with suppress(ValueError):
                    self._place = places.index(self.row)
            return self._place
        return min(bisect_left(places, self.row), max(0, len(places) - 1))

    @property
    def filtering(self) -> bool:
        """Whether the rows of the filter are still looked for."""
        return self._filtered is NONE

    def listed(self, place: int) -> Listed:
        """Read from the file where it was not lately."""
        row = self.places[place]
        if (line := self._lines.get(row)) is None:
            if len(self._lines) >= KEPT_LINES:
                self._lines.clear()
            line = self._lines[row] = self._look_at(row)
        return line

    def _look_at(self, row: int) -> Listed:
        assert self.index is not None
        signs, known = ("", "") if self.judged is None else (
            self.judged.signs(row, self.limit), self.judged.problem(row))  # fmt: skip
        try:
            if len(text := self.index.text(row, LOOKED_AT + 1)) > LOOKED_AT:
                return Listed(row, signs, text[:400].decode("utf-8", "replace"), known)
            record = self.index.record(row)
            words = first_words(record.raw) if record.raw is not None else text.decode("utf-8", "replace")
            row_of(record, self.columns)
        except (OSError, Unreadable) as error:
            return Listed(row, "✗", str(error), str(error))
        except BadRow as problem:
            return Listed(row, "✗", words, str(problem))
        return Listed(row, signs, words, known)

    def record(self) -> Record | None:
        """The row that one stands on, as the file has it. Raises OSError, Unreadable."""
        return self.index.record(self.row) if self.index and self.row < self.rows else None

    def text(self, limit: int) -> str:
        """Its first `limit` bytes. Raises OSError, Unreadable."""
        return self.index.text(self.row, limit).decode("utf-8", "replace") if self.index else ""

    def columns_used(self, record: Record) -> tuple[str, ...] | None:
        """None where it is a bad row."""
        try:
            return row_of(record, self.columns).used
        except BadRow:
            return None

    def problem(self, record: Record) -> str:
        """Why nothing can be learned from it; "" where something can."""
        try:
            row_of(record, self.columns)
        except BadRow as problem:
            return str(problem)
        return self.judged.problem(self.row) if self.judged else ""

    async def stand_on(self, row: int) -> None:
        """On row `row`, or the nearest there is."""
        self.row = max(0, min(row, self.rows - 1))
        self._changed()

    async def pick(self, place: int) -> None:
        """On the row at `place` of the list."""
        if places := self.places:
            self._place = max(0, min(place, len(places) - 1))
            await self.stand_on(places[self._place])

    def filter(self, kind: Kind) -> None:
        self.kind = kind
        self._filtered = None if kind == "all" else NONE
        self._go_on(self._filter_anew())
        self._changed()

    def search(self, text: str) -> None:
        """Among the rows of the filter; "" ends it."""
        self._stop_search.set()
        self.needle, self._stop_search = text, Event()
        self._found = array("I") if text else None
        self.works.pop("searching", None)
        if text:
            self._go_on(self._search(text, self._stop_search, self._report("searching", "searching")))
        else:
            self._go_on(self._into_list())
        self._changed()

    def _go_on(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _changed(self) -> None:
        if not self._closed.is_set():
            self._on_change()

    def _report(self, key: str, what: str) -> Callable[[int, int], None]:
        """For a thread: how far it is, said now and then."""
        work = self.works[key] = Work(what, 0, 0, time.monotonic())

        def report(done: int, total: int) -> None:
            work.done, work.total = done, total
            now = time.monotonic()
            if now - self._told_at > TOLD_EVERY and self._loop and not self._closed.is_set():
                self._told_at = now
                self._loop.call_soon_threadsafe(self._changed)

        return report

    async def build(self) -> None:
        """Finds the rows of all files."""
        self._loop = asyncio.get_running_loop()
        report = self._report("indexing", "finding the rows")
        try:
            await asyncio.to_thread(self._find_rows, report)
        except CodexError as error:
            self.error = (error.message, error.hint)
        self.works.pop("indexing", None)
        self._built.set()
        if self.needle:  # what was searched for meanwhile may be among the last rows, too
            self.search(self.needle)
        self._changed()

    def _find_rows(self, report: Callable[[int, int], None]) -> None:
        with sources.reading(self.target.source):
            self.index = RowIndex(sources.readable(self.target.source), locations.cache_home())
            self.index.build(report, self._closed.is_set)

    def judge(self, judged: Judged | None) -> None:
        """From now on it is known what each row is."""
        self.judged = judged
        self._lines.clear()
        self._go_on(self._filter_anew())

    async def _filter_anew(self) -> None:
        """The rows of the filter, looked for again, and the search among them."""
        self._filterings += 1
        now, judged, kind, limit = self._filterings, self.judged, self.kind, self.limit
        if kind != "all" and judged is None:
            return
        rows = await asyncio.to_thread(judged.rows, kind, limit) if judged and kind != "all" else None
        if now != self._filterings:
            return
        self._filtered = rows
        if self.needle:
            self.search(self.needle)
        await self._into_list()

    async def _into_list(self) -> None:
        """Stands on a row of the list."""
        if (places := self.places) and places[place := self.place] != self.row:
            await self.pick(place)
        self._changed()

    async def _search(self, text: str, stop: Event, report: Callable[[int, int], None]) -> None:
        with suppress(OSError, Unreadable):
            found = await asyncio.to_thread(self._find, text, stop, report)
            if not stop.is_set():
                self._found = found
        if self._stop_search is stop:
            self.works.pop("searching", None)
            await self._into_list()

    def _find(self, text: str, stop: Event, report: Callable[[int, int], None]) -> array[int]:
        """The rows with `text` in the order of the list; in that of the files they are seen while they are found."""
        found, index, filtered, kind = self._found, self.index, self._filtered, self.kind
        if found is None or index is None:
            return array("I")
        among = None if filtered is None else set(filtered)
        for row in index.search(text, 0, lambda: stop.is_set() or self._closed.is_set(), report):
            if stop.is_set():
                break
            if among is None or row in among:
                found.append(row)
        if filtered is None or kind not in OWN_ORDER or stop.is_set():
            return found
        chosen = set(found)
        return array("I", (row for row in filtered if row in chosen))
