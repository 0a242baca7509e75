"""The state of the data screen, without the screen: the rows of a dataset, each as the model sees it, the limit at
which rows are cut, and the figures of all rows. The inspect worker does everything that needs the model's tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from codex_tui.base import locations
from codex_tui.base.errors import hint_for_failed_write
from codex_tui.base.progress import Progress, ProgressTracker
from codex_tui.data.background import Background
from codex_tui.data.filter import KINDS, RUN_KINDS, Kind, RowStates
from codex_tui.data.rows import DataRows
from codex_tui.data.target import Target
from codex_tui.data.xray import read_xray
from codex_tui.workers.inspect import RowReader
from training.contract.inspect_messages import Cancelled, InspectAnswer, InspectProgress, InspectReady, StatsReady
from training.dataset.formats import Unreadable

if TYPE_CHECKING:
    from codex_tui.data.advice import Advice
    from codex_tui.data.duration import Duration
    from codex_tui.data.overview import Overview
    from training.contract.profile import Profile

MAX_ROWS_TOKENISED_UNASKED = 200_000
LIMITS = [64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384, 24576, 32768]


class DataView:
    """Has the `rows`, and the `reader` that requests them from the worker. Calls `on_change` when something is new."""

    def __init__(self, target: Target, on_change: Callable[[], None]) -> None:
        self.target = target
        self.background = Background(on_change)
        self.rows = DataRows(target, self.background, self._move_reader)
        self.overview: Overview | None = None
        self.duration: Duration | None = None
        self.warnings: tuple[Advice, ...] = ()
        self.reader: RowReader | None = None
        self.ids = False  # whether the reader asks for the id of every token
        self.no_tokens = ("", "")  # why there is no tokenizer, and a hint
        self._speed: float | None = None  # tokens a second on this card; 0: not known; None: not asked yet
        self._overviews = 0  # the number of the newest overview: an older one is dropped

    @property
    def works(self) -> dict[str, ProgressTracker]:
        """The work in the background, by name."""
        return self.background.works

    @property
    def limit(self) -> int:
        """The max_seq_length at which rows are cut: the profile's own, until another one is set."""
        return self.rows.limit

    @property
    def own_limit(self) -> int:
        """The profile's max_seq_length; 0 without a profile."""
        return self.target.profile.model.max_seq_length if self.target.profile else 0

    @property
    def changes(self) -> dict[str, int]:
        """The fields of the profile with other values in this view."""
        return {} if self.limit == self.own_limit else {"model.max_seq_length": self.limit}

    @property
    def profile(self) -> Profile | None:
        """The profile, with `limit` as its max_seq_length."""
        profile = self.target.profile
        if profile is None or self.limit == self.own_limit:
            return profile
        return profile.with_max_seq_length(self.limit)

    async def start(self) -> None:
        """Finds the rows, and starts the inspect worker."""
        self.background.run(self.rows.build())
        self.background.run(self.read_xray())
        place = None
        try:
            place = await asyncio.to_thread(self.target.prepare_worker_target)
        except OSError as error:
            self.no_tokens = (
                f"{locations.cache_home()} can't be written: {error.strerror}.",
                hint_for_failed_write(error),
            )
        if self.background.closed.is_set():
            return
        if place is not None:
            self.reader = RowReader(self.target.run or place, self._look_at_worker, self._hear)
            self.reader.index, self.reader.ids = self.rows.current, self.ids
            self.reader.limit = None if self.limit == self.own_limit else self.limit
            await self.reader.start()
        if self.reader is None or self.reader.status == "failed":
            self.background.run(self._scan_here())

    async def read_xray(self) -> None:
        """Reads what was measured of the rows of the run."""
        run, xray = self.target.run, None
        if run is None:
            return
        await self.rows.built.wait()
        if self.rows.index and not self.rows.error:
            index, stop = self.rows.index, self.background.closed.is_set
            xray = await asyncio.to_thread(read_xray, run, self.target.source, index, stop)
        self.rows.set_xray(xray)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The filters that the rows have."""
        return RUN_KINDS if self.target.run else KINDS

    @property
    def can_measure(self) -> bool:
        """Whether a measurement of the rows would find something new."""
        rows = self.rows
        return self.target.run is not None and rows.xray_known and not (rows.xray and rows.xray.is_current)

    async def close(self) -> None:
        """Ends everything; the worker's memory is free when this returns."""
        self.background.closed.set()
        self.rows.close()
        if self.reader:
            await self.reader.close()
        await self.background.wait()

    async def _move_reader(self, row: int) -> None:
        if self.reader:
            await self.reader.go(row)

    async def set_limit(self, limit: int) -> None:
        """Shows where another max_seq_length would cut the rows."""
        self.rows.set_limit(max(LIMITS[0] // 4, min(limit, 2**20)))
        self.background.run(self._update_overview())
        if self.reader:
            self.reader.limit = None if self.limit == self.own_limit else self.limit
            await self.reader.go(self.rows.current)
        self.background.notify()

    def next_limit(self, steps: int) -> int:
        """The next shorter or longer of the usual lengths; the profile's own is one of them."""
        usual = sorted({*LIMITS, self.own_limit})
        if steps < 0:
            return max((limit for limit in usual if limit < self.limit), default=self.limit)
        return min((limit for limit in usual if limit > self.limit), default=self.limit)

    async def set_ids(self, ids: bool) -> None:
        """Whether the reader asks for the id of every token, which the token pane needs."""
        self.ids = ids
        if self.reader and self.reader.ids != ids:
            self.reader.ids = ids
            await self.reader.go(self.rows.current)

    async def tokenise(self) -> None:
        """Counts the tokens of every row: the overview and two of the filters need them."""
        if self.reader and self.reader.status == "ready" and "tokenising" not in self.works:
            self.background.begin("tokenising", "scanning")
            await self.reader.tokenise()
            self.background.notify()

    async def cancel(self) -> bool:
        """Stops the search, or else the counting of tokens. False if nothing is going on."""
        if "searching" in self.works:
            self.rows.stop_search()
            return True
        if "tokenising" in self.works and self.reader:
            await self.reader.cancel()
            return True
        return False

    def _look_at_worker(self) -> None:
        if self.reader and self.reader.status in ("failed", "off"):
            self.background.finish("tokenising")
        self.background.notify()

    def _hear(self, answer: InspectAnswer) -> None:
        """Takes an answer of the worker that concerns all rows."""
        if isinstance(answer, InspectReady | StatsReady) and answer.why:
            self.no_tokens = (answer.why, answer.hint)
        match answer:
            case InspectReady():
                if answer.scan:
                    self.background.run(self._read_stats(answer.scan, None))
                self.background.run(self._tokenise_if_few())
            case InspectProgress():
                progress = Progress(answer.what, answer.done, answer.total, "rows")
                self.works.setdefault("tokenising", ProgressTracker(progress)).update(progress)
            case StatsReady():
                self.background.finish("tokenising")
                if answer.scan:
                    self.background.run(self._read_stats(answer.scan, answer.lengths))
            case Cancelled():
                self.background.finish("tokenising")

    async def _tokenise_if_few(self) -> None:
        await self.rows.built.wait()
        if self.rows.count <= MAX_ROWS_TOKENISED_UNASKED and not self.background.closed.is_set():
            await self.tokenise()

    async def _read_stats(self, scan_path: str, lengths_path: str | None) -> None:
        """Reads the files with the worker's results for all rows."""
        from training.dataset import lengths, scan

        def read() -> RowStates | None:
            loaded = scan.load(Path(scan_path), self.target.profile, self.rows.count)
            if loaded is None:
                return None
            counted = lengths.load(Path(lengths_path), loaded.kept) if lengths_path else None
            return RowStates(loaded, counted, self.target.settings.dataset.long_rows == "drop")

        await self.rows.built.wait()  # a scan is valid only for this number of rows
        states = await asyncio.to_thread(read)
        if states and (states.lengths or not (self.rows.states and self.rows.states.lengths)):
            self.rows.set_states(states)
            await self._update_overview()

    async def _scan_here(self) -> None:
        """Finds bad rows and duplicates without a worker."""
        from training.dataset import scan

        await self.rows.built.wait()
        index = self.rows.index
        if index is None or self.rows.error or self.rows.count > MAX_ROWS_TOKENISED_UNASKED:
            return
        report = self.background.begin_in_thread("scanning", "reading the rows")

        def read() -> RowStates | None:
            settings, cache, stop = self.target.settings, locations.cache_home(), self.background.closed.is_set
            loaded = scan.load_or_scan(index, self.rows.columns, settings, cache, report, stop)
            return RowStates(loaded[1], None) if loaded else None

        with suppress(OSError, Unreadable):
            if states := await asyncio.to_thread(read):
                self.rows.set_states(states)
        self.background.finish("scanning")
        await self._update_overview()

    async def _update_overview(self) -> None:
        """Computes the overview and its warnings again."""
        self._overviews += 1
        number, states, profile = self._overviews, self.rows.states, self.profile
        if states and profile:
            from codex_tui.data.advice import give_advice
            from codex_tui.data.duration import forecast_duration
            from codex_tui.data.overview import compute_overview
            from codex_tui.data.speed import find_last_speed_on
            from codex_tui.machine.forecast import forecast_resources

            def compute() -> tuple[Overview, tuple[Advice, ...], Duration | None]:
                # Only the tokens need a card and a speed, and the driver may be slow to answer.
                resources = forecast_resources(profile, self.target.path or Path()) if states.lengths else None
                if resources and self._speed is None:
                    self._speed = find_last_speed_on(resources.card, resources.resolved, self.target.path) or 0.0
                speed = self._speed or None
                resolved = resources.resolved if resources else profile
                figures = compute_overview(states.scan, states.lengths, resolved, speed)
                duration = forecast_duration(resources, figures, speed) if resources else None
                return figures, tuple(give_advice(figures, states.scan, states.lengths, profile)), duration

            result = await asyncio.to_thread(compute)
            if number == self._overviews:
                self.overview, self.warnings, self.duration = result
        self.background.notify()
