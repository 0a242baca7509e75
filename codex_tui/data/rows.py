"""The rows of a dataset as a list: found in the background, read one by one, filtered and searched.

Slow work runs in threads. Nothing waits for it: a row can be read as soon as its place in the file is known.
"""

from __future__ import annotations

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Event

from codex_tui.base import locations
from codex_tui.base.errors import CodexError
from codex_tui.data import sources
from codex_tui.data.background import Background
from codex_tui.data.filter import OWN_ORDER, Kind, RowStates
from codex_tui.data.row_text import find_first_words
from codex_tui.data.target import Target
from codex_tui.data.xray import Xray
from training.dataset.formats import Unreadable
from training.dataset.index import RowIndex
from training.dataset.records import BadRow, Record
from training.dataset.shapes import Columns, Row, read_row

MAX_PREVIEW_BYTES = 64 * 1024  # a longer row is not parsed for the list
MAX_PREVIEWS = 4096  # lines of the list that are kept in memory
NOT_FILTERED_YET = array("I")


@dataclass(frozen=True)
class RowPreview:
    """One line of the list. Its texts come from the file: clean them before they are shown."""

    row: int
    signs: str
    words: str
    problem: str = ""


class DataRows:
    """The rows of `target`, numbered from 0 over all its files, good and bad ones. `current` is the selected row.

    `on_move` is called with the new number when `current` changes; `background` runs what takes long. `limit` is the
    max_seq_length at which rows are cut.
    """

    def __init__(self, target: Target, background: Background, on_move: Callable[[int], Awaitable[None]]) -> None:
        self.index: RowIndex | None = None
        self.error: tuple[str, str] | None = None  # why the dataset can't be read, and a hint
        self.states: RowStates | None = None
        self.xray: Xray | None = None  # of a run whose rows were measured
        self.xray_known = target.run is None  # whether it has been read, so that None means that there is none
        self.kind: Kind = "all"
        self.needle = ""
        self.current = 0
        self.built = asyncio.Event()  # every row has been found, or none can be
        self.columns = Columns.from_dataset(target.settings.dataset)
        self._target = target
        self._limit = target.profile.model.max_seq_length if target.profile else 0
        self._background, self._on_move = background, on_move
        self._place = 0  # the last known place of `current` in a list with an order of its own
        self._filtered: Sequence[int] | None = None  # None: all rows
        self._matches: array[int] | None = None  # the filtered rows that have the needle; None: no search
        self._previews: dict[int, RowPreview] = {}
        self._stop_search = Event()
        self._filterings = 0  # the number of the newest filtering: the result of an older one is dropped
        self._goes_to_top = False  # when the rows of the filter are known

    @property
    def count(self) -> int:
        """The rows found so far."""
        return len(self.index) if self.index else 0

    @property
    def complete(self) -> bool:
        return self.index is not None and self.index.complete

    @property
    def limit(self) -> int:
        return self._limit

    @property
    def listed(self) -> Sequence[int]:
        """The rows of the list, in its order."""
        if self._matches is not None:
            return self._matches
        return range(self.count) if self._filtered is None else self._filtered

    @property
    def place(self) -> int:
        """The place of the current row in the list, or a place near it if the list does not have the row."""
        listed = self.listed
        if isinstance(listed, range):
            return min(self.current, max(0, len(listed) - 1))
        if self.kind in OWN_ORDER:
            if self._place >= len(listed) or listed[self._place] != self.current:  # not searched again at each paint
                self._place = 0
                with suppress(ValueError):
                    self._place = listed.index(self.current)
            return self._place
        return min(bisect_left(listed, self.current), max(0, len(listed) - 1))

    @property
    def filtering(self) -> bool:
        """Whether the rows of the filter are not known yet."""
        return self._filtered is NOT_FILTERED_YET

    def preview(self, place: int) -> RowPreview:
        """The line at `place` of the list. Reads the file, unless the row was read lately."""
        row = self.listed[place]
        if (preview := self._previews.get(row)) is None:
            if len(self._previews) >= MAX_PREVIEWS:
                self._previews.clear()
            preview = self._previews[row] = self._read_preview(row)
        return preview

    def _read_preview(self, row: int) -> RowPreview:
        assert self.index is not None
        signs = self.states.signs(row, self._limit) if self.states else ""
        problem = self.states.problem(row) if self.states else ""
        try:
            if len(text := self.index.text(row, MAX_PREVIEW_BYTES + 1)) > MAX_PREVIEW_BYTES:
                return RowPreview(row, signs, text[:400].decode("utf-8", "replace"), problem)
            record = self.index.record(row)
            words = find_first_words(record.raw) if record.raw is not None else text.decode("utf-8", "replace")
            read_row(record, self.columns)
        except (OSError, Unreadable) as error:
            return RowPreview(row, "✗", str(error), str(error))
        except BadRow as error:
            return RowPreview(row, "✗", words, str(error))
        return RowPreview(row, signs, words, problem)

    def read_record(self) -> Record | None:
        """The current row, as the file has it. Raises OSError, Unreadable."""
        return self.index.record(self.current) if self.index and self.current < self.count else None

    def read_text(self, max_bytes: int) -> str:
        """The first `max_bytes` of the current row. Raises OSError, Unreadable."""
        return self.index.text(self.current, max_bytes).decode("utf-8", "replace") if self.index else ""

    def parse(self, record: Record) -> tuple[Row | None, str]:
        """What is learned from `record`, the current row, and why nothing can be learned from it ("" if something
        can)."""
        try:
            row = read_row(record, self.columns)
        except BadRow as error:
            return None, str(error)
        return row, self.states.problem(self.current) if self.states else ""

    async def go_to(self, row: int) -> None:
        """Selects `row`, or the nearest one there is."""
        self.current = max(0, min(row, self.count - 1))
        self._background.notify()
        await self._on_move(self.current)

    async def go_to_place(self, place: int) -> None:
        """Selects the row at `place` of the list."""
        if listed := self.listed:
            self._place = max(0, min(place, len(listed) - 1))
            await self.go_to(listed[self._place])

    def filter(self, kind: Kind) -> None:
        self.kind, self._goes_to_top = kind, kind == "worst"
        self._filtered = None if kind == "all" else NOT_FILTERED_YET
        self._background.run(self._refilter())
        self._background.notify()

    def search(self, text: str) -> None:
        """Looks for `text` in the rows of the filter; "" ends the search."""
        self._stop_search.set()
        self.needle, self._stop_search = text, Event()
        self._matches = array("I") if text else None
        self._background.finish("searching")
        if text:
            report = self._background.begin_in_thread("searching", "searching")
            self._background.run(self._search(text, self._stop_search, report))
        else:
            self._background.run(self._move_into_list())
        self._background.notify()

    def stop_search(self) -> None:
        self._stop_search.set()

    def set_limit(self, limit: int) -> None:
        self._limit = limit
        self._previews.clear()
        if self.kind == "cut":
            self._background.run(self._refilter())

    def set_states(self, states: RowStates) -> None:
        self.states = states
        self._previews.clear()
        self._background.run(self._refilter())

    def set_xray(self, xray: Xray | None) -> None:
        self.xray, self.xray_known = xray, True
        self._goes_to_top = self.kind == "worst"
        self._background.run(self._refilter())

    async def build(self) -> None:
        """Finds the rows of all files."""
        report = self._background.begin_in_thread("indexing", "finding the rows", "bytes")
        try:
            await asyncio.to_thread(self._find_rows, report)
        except CodexError as error:
            self.error = (error.message, error.hint)
        self._background.finish("indexing")
        self.built.set()
        if self.needle:  # the search may have ended before the last rows were found
            self.search(self.needle)
        self._background.notify()

    def close(self) -> None:
        """Ends the search, and lets those that wait for `built` go on."""
        self.stop_search()
        self.built.set()

    def _find_rows(self, report: Callable[[int, int], None]) -> None:
        with sources.translate_read_errors(self._target.source):
            self.index = RowIndex(sources.convert_files(self._target.source), locations.cache_home())
            self.index.build(report, self._background.closed.is_set)

    async def _refilter(self) -> None:
        """Selects the rows of the filter again, and searches them again."""
        self._filterings += 1
        number, states, kind, limit = self._filterings, self.states, self.kind, self._limit
        rows: Sequence[int] | None = None
        if kind == "worst":
            if not self.xray_known:
                return
            rows = self.xray.worst if self.xray else array("I")
        elif kind != "all":
            if states is None:
                return
            rows = await asyncio.to_thread(states.select, kind, limit)
        if number != self._filterings:
            return
        self._filtered = rows
        if self.needle:
            self.search(self.needle)
        if self._goes_to_top:
            self._goes_to_top = False
            await self.go_to_place(0)
        await self._move_into_list()

    async def _move_into_list(self) -> None:
        """Selects a row of the list, if the current one is not in it."""
        if (listed := self.listed) and listed[place := self.place] != self.current:
            await self.go_to_place(place)
        self._background.notify()

    async def _search(self, text: str, stop: Event, report: Callable[[int, int], None]) -> None:
        with suppress(OSError, Unreadable):
            matches = await asyncio.to_thread(self._find_matches, text, stop, report)
            if not stop.is_set():
                self._matches = matches
        if self._stop_search is stop:
            self._background.finish("searching")
            await self._move_into_list()

    def _find_matches(self, text: str, stop: Event, report: Callable[[int, int], None]) -> array[int]:
        """The rows with `text`, in the order of the list. Rows in the order of the files are listed while the search
        goes on."""
        matches, index, filtered, kind = self._matches, self.index, self._filtered, self.kind
        if matches is None or index is None:
            return array("I")
        among = None if filtered is None else set(filtered)
        for row in index.search(text, 0, lambda: stop.is_set() or self._background.closed.is_set(), report):
            if stop.is_set():
                break
            if among is None or row in among:
                matches.append(row)
        if filtered is None or kind not in OWN_ORDER or stop.is_set():
            return matches
        matching = set(matches)
        return array("I", (row for row in filtered if row in matching))
