"""The data screen without the screen: the rows as `DataRows` has them, each as the model sees it, where the cut falls,
and what all of them come to. The inspect worker, which knows the model's tokens, does what needs them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codex_tui.base import locations
from codex_tui.base.errors import room_hint
from codex_tui.data.filter import Judged
from codex_tui.data.rows import DataRows, Work
from codex_tui.data.target import Target
from codex_tui.workers.inspect import RowReader
from training.dataset.records import Unreadable

if TYPE_CHECKING:
    from codex_tui.data.advice import Warned
    from codex_tui.data.overview import Overview
    from training.contract.profile import Profile

TOKENISED_AT_ONCE = 200_000  # rows; more are tokenised when asked
LIMITS = [64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768]


class DataView(DataRows):
    """`limit` is the max_seq_length that is looked at; the profile's own until another one is set."""

    def __init__(self, target: Target, on_change: Callable[[], None]) -> None:
        super().__init__(target, on_change)
        self.overview: Overview | None = None
        self.warnings: tuple[Warned, ...] = ()
        self.reader: RowReader | None = None
        self.ids = False  # whether the reader is asked for every token's id
        self.no_tokens = ("", "")  # why the tokenizer can't be had, and what to do
        self._speed: float | None = None  # tokens a second on this card; 0 where it is not known
        self._looks = 0  # a newer overview makes the older ones void

    @property
    def own_limit(self) -> int:
        """The profile's max_seq_length; 0 without a profile."""
        return self.target.profile.model.max_seq_length if self.target.profile else 0

    @property
    def profile(self) -> Profile | None:
        """The profile with the max_seq_length that is looked at."""
        profile = self.target.profile
        if profile is None or self.limit == self.own_limit:
            return profile
        return profile.model_copy(update={"model": profile.model.model_copy(update={"max_seq_length": self.limit})})

    async def start(self) -> None:
        """Finds the rows, and starts the worker that knows the model's tokens."""
        self._go_on(self.build())
        place = None
        try:
            place = await asyncio.to_thread(self.target.worker_target)
        except OSError as error:
            self.no_tokens = (f"{locations.cache_home()} can't be written: {error.strerror}.", room_hint(error))
        if self._closed.is_set():
            return
        if place is not None:
            self.reader = RowReader(self.target.run or place, self._look_at_worker, self._hear)
            self.reader.index, self.reader.ids = self.row, self.ids
            self.reader.limit = None if self.limit == self.own_limit else self.limit
            await self.reader.start()
        if self.reader is None or self.reader.status == "failed":
            self._go_on(self._scan_here())

    async def close(self) -> None:
        """Ends everything; the worker's memory is free when this returns."""
        self._closed.set()
        self._stop_search.set()
        self._built.set()
        if self.reader:
            await self.reader.close()
        for task in list(self._tasks):
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def stand_on(self, row: int) -> None:
        await super().stand_on(row)
        if self.reader:
            await self.reader.go(self.row)

    async def set_limit(self, limit: int) -> None:
        """Looks at the rows as another max_seq_length would cut them."""
        self.limit = max(LIMITS[0] // 4, min(limit, 2**20))
        self._lines.clear()
        self._go_on(self._add_up())
        if self.kind == "cut":
            self._go_on(self._filter_anew())
        if self.reader:
            self.reader.limit = None if self.limit == self.own_limit else self.limit
            await self.reader.go(self.row)
        self._changed()

    def next_limit(self, steps: int) -> int:
        """The usual max_seq_length below or above, the profile's own among them."""
        usual = sorted({*LIMITS, self.own_limit})
        if steps < 0:
            return max((limit for limit in usual if limit < self.limit), default=self.limit)
        return min((limit for limit in usual if limit > self.limit), default=self.limit)

    async def with_ids(self, ids: bool) -> None:
        self.ids = ids
        if self.reader and self.reader.ids != ids:
            self.reader.ids = ids
            await self.reader.go(self.row)

    async def tokenise(self) -> None:
        """Counts every row's tokens, which the overview and most filters need."""
        if self.reader and self.reader.status == "ready" and "tokenising" not in self.works:
            self.works["tokenising"] = Work("scanning", 0, 0, time.monotonic())
            await self.reader.send({"type": "tokenise"})
            self._changed()

    async def cancel(self) -> bool:
        """Ends what goes on, a search first; False where nothing does."""
        if "searching" in self.works:
            self._stop_search.set()
            return True
        if "tokenising" in self.works and self.reader:
            await self.reader.send({"type": "cancel"})
            return True
        return False

    def _look_at_worker(self) -> None:
        if self.reader and self.reader.status in ("failed", "off"):
            self.works.pop("tokenising", None)
        self._changed()

    def _hear(self, message: dict[str, Any]) -> None:
        """From the worker, about all rows."""
        kind = message.get("type")
        if message.get("why"):
            self.no_tokens = (str(message["why"]), str(message.get("hint") or ""))
        if kind == "ready":
            if message.get("scan"):
                self._go_on(self._read_digest(message))
            self._go_on(self._tokenise_if_few())
        elif kind == "progress":
            what = str(message.get("what") or "")
            work = self.works.get("tokenising")
            if work is None or work.what != what:
                work = self.works["tokenising"] = Work(what, 0, 0, time.monotonic())
            work.done, work.total = int(message.get("done") or 0), int(message.get("total") or 0)
        elif kind in ("cancelled", "digest"):
            self.works.pop("tokenising", None)
            if kind == "digest":
                self._go_on(self._read_digest(message))

    async def _tokenise_if_few(self) -> None:
        await self._built.wait()
        if self.rows <= TOKENISED_AT_ONCE and not self._closed.is_set():
            await self.tokenise()

    async def _read_digest(self, message: dict[str, Any]) -> None:
        from training.dataset import lengths, scan

        def read() -> Judged | None:
            found = scan.load(Path(str(message.get("scan"))), self.target.profile, self.rows)
            place = message.get("lengths")
            if found is None:
                return None
            return Judged(found, lengths.load(Path(str(place)), found.kept) if place else None)

        await self._built.wait()  # before that, the rows are not counted that a scan has to have
        judged = await asyncio.to_thread(read)
        if judged and (judged.lengths or not (self.judged and self.judged.lengths)):
            self.judge(judged)
            await self._add_up()

    async def _scan_here(self) -> None:
        """Without a worker, rows can still be told good from bad, and alike."""
        from training.dataset import scan

        await self._built.wait()
        index = self.index
        if index is None or self.error or self.rows > TOKENISED_AT_ONCE:
            return
        report = self._report("scanning", "reading the rows")

        def read() -> Judged | None:
            settings, cache, stop = self.target.settings, locations.cache_home(), self._closed.is_set
            found = scan.kept_or_made(index, self.columns, settings, cache, report, stop)
            return Judged(found[1], None) if found else None

        with suppress(OSError, Unreadable):
            if judged := await asyncio.to_thread(read):
                self.judge(judged)
        self.works.pop("scanning", None)
        await self._add_up()

    async def _add_up(self) -> None:
        """The overview, anew."""
        self._looks += 1
        look, judged, profile = self._looks, self.judged, self.profile
        if judged and profile:
            from codex_tui.data.advice import advice
            from codex_tui.data.overview import overview
            from codex_tui.data.speed import tokens_per_second

            def add_up() -> tuple[Overview, tuple[Warned, ...]]:
                if self._speed is None:
                    self._speed = tokens_per_second(profile, self.target.path) or 0.0
                figures = overview(judged.scan, judged.lengths, profile, self._speed or None)
                return figures, tuple(advice(figures, judged.scan, judged.lengths, profile))

            found = await asyncio.to_thread(add_up)
            if look == self._looks:
                self.overview, self.warnings = found
        self._changed()
