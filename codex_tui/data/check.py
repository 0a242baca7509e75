"""Checks a whole dataset. This module reads it; if a profile names a model, the inspect worker counts its tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError, convert_os_error
from codex_tui.base.progress import OnProgress, Progress, ProgressTracker
from codex_tui.base.text import pluralize
from codex_tui.data import sources
from codex_tui.data.advice import Advice, give_advice
from codex_tui.data.duration import Duration, forecast_duration
from codex_tui.data.overview import Overview, compute_overview
from codex_tui.data.speed import find_last_speed_on
from codex_tui.data.target import Target
from codex_tui.environment import build
from codex_tui.machine import forecast
from training.contract.inspect_messages import INSPECT, InspectProgress, InspectReady, StatsReady, Tokenise
from training.contract.messages import WorkerError
from training.contract.profile import Profile
from training.dataset import lengths as token_lengths
from training.dataset import scan as scans
from training.dataset.index import RowIndex
from training.dataset.lengths import Lengths
from training.dataset.records import BadRow
from training.dataset.scan import BAD, Problem, Scan
from training.dataset.shapes import Columns, read_row

MAX_ROWS_COUNTED = 200_000  # rows that are counted before a launch; more of them take too long
CHANGED = ("The rows changed during the check.", "Check them again.")


@dataclass
class CheckResult:
    """The result of a check. `token_error` says why the tokens could not be counted although a profile names a model:
    a BadInput if no run could train with that profile. `lengths` is then None. `speed` is in tokens a second.
    `duration` is None if no speed is known. Clean the texts before they are shown."""

    target: Target
    scan: Scan
    lengths: Lengths | None
    overview: Overview
    warnings: tuple[Advice, ...]
    speed: float | None
    token_error: CodexError | None
    duration: Duration | None
    _index: RowIndex
    _columns: Columns

    @property
    def passes(self) -> bool:
        """Whether a run would start and learn something."""
        overview, profile = self.overview, self.target.profile
        skips = profile is not None and profile.dataset.on_bad_rows == "skip"
        if isinstance(self.token_error, BadInput):
            return False
        if profile is not None and profile.dataset.long_rows == "refuse" and overview.truncated:
            return False
        return bool(overview.train_rows and (skips or (not overview.refused and overview.kept == overview.rows)))

    def bad(self) -> Iterator[Problem]:
        """Yield the problem of every bad row, in the order of the rows."""
        for row in self.scan.positions(BAD):
            yield self.scan.problems.get(row) or self._problem(row)

    def _problem(self, row: int) -> Problem:
        record = self._index.record(row)
        try:
            read_row(record, self._columns)
        except BadRow as problem:
            return Problem(record.file, record.line, str(problem))
        return Problem(record.file, record.line, "")


def check_dataset(target: Target, report: OnProgress) -> CheckResult:
    """Check the dataset of `target`. Raises BadInput if a file can't be read, CodexError if a Parquet file needs the
    training environment and there is none."""
    profile = target.settings
    columns = Columns.from_dataset(profile.dataset)
    with sources.translate_read_errors(target.source):
        source = sources.convert_files(target.source)
        index = RowIndex.open(
            source, locations.cache_home(), lambda done, total: report(Progress("finding the rows", done, total))
        )
        scan = _scan(index, columns, profile, report)
    lengths, token_error, speed, resources = None, None, None, None
    if target.profile and scan.kept:
        lengths, token_error = asyncio.run(_count_tokens(target, scan.kept, report))
        resources = forecast.forecast_resources(target.profile, target.path or Path())
        speed = find_last_speed_on(resources.card, resources.resolved, target.path)
    figures = compute_overview(scan, lengths, resources.resolved if resources else profile, speed)
    warnings = tuple(give_advice(figures, scan, lengths, profile))
    duration = forecast_duration(resources, figures, speed) if resources else None
    return CheckResult(target, scan, lengths, figures, warnings, speed, token_error, duration, index, columns)


def _scan(index: RowIndex, columns: Columns, profile: Profile, report: OnProgress) -> Scan:
    step = f"reading {pluralize(len(index), 'row')}"
    report(Progress(step))
    loaded = scans.load_or_scan(
        index, columns, profile, locations.cache_home(),
        lambda done, total: report(Progress(step, done, total, "rows")),
    )  # fmt: skip
    assert loaded is not None  # only a cancelled scan is None
    return loaded[1]


async def _count_tokens(target: Target, rows: int, report: OnProgress) -> tuple[Lengths | None, CodexError | None]:
    """Return the lengths of the `rows` good rows; or None, and the error that says why."""
    try:
        _, path = await _count_in_worker(target, report)
    except CodexError as error:
        return None, error
    if lengths := token_lengths.load(path, rows):
        return lengths, None
    return None, CodexError(*CHANGED)


@dataclass(frozen=True)
class CountedRows:
    """All rows of a dataset: what a scan finds, and their lengths in tokens. They serve every max_seq_length."""

    scan: Scan
    lengths: Lengths

    def advise(self, profile: Profile) -> tuple[Overview, tuple[Advice, ...]]:
        """Compute the figures and the advice for a run of `profile`."""
        overview = compute_overview(self.scan, self.lengths, profile)
        return overview, tuple(give_advice(overview, self.scan, self.lengths, profile))


@dataclass(frozen=True)
class TokenCount:
    """How far the tokens are counted: all `rows`; or the `work` that counts them; or the `reason` why they are not
    counted, with a hint. `by_key` says that a person can start or stop the count. Clean the texts before they are
    shown."""

    rows: CountedRows | None = None
    work: ProgressTracker | None = None
    reason: str = ""
    hint: str = ""
    by_key: bool = False


async def count_rows(target: Target, report: OnProgress) -> CountedRows:
    """Count the rows of `target`, which has a profile, and their tokens, in the inspect worker. Cancelling ends the
    worker. Raises CodexError where that is not possible, or where there are more than MAX_ROWS_COUNTED rows."""
    scan_path, lengths_path = await _count_in_worker(target, report, MAX_ROWS_COUNTED)

    def load() -> CountedRows | None:
        loaded = scans.load(scan_path, target.profile) if scan_path else None
        lengths = token_lengths.load(lengths_path, loaded.kept) if loaded else None
        return CountedRows(loaded, lengths) if loaded and lengths else None

    if counted := await asyncio.to_thread(load):
        return counted
    raise CodexError(*CHANGED)


async def _count_in_worker(target: Target, report: OnProgress, max_rows: int | None = None) -> tuple[Path | None, Path]:
    """Return the files of the scan and of the lengths, which the inspect worker writes. Raises CodexError."""
    from codex_tui.workers.process import Worker

    try:
        place = await asyncio.to_thread(target.prepare_worker_target)
    except OSError as error:
        raise convert_os_error(error) from None
    assert place is not None  # the target has a profile
    worker = await Worker.start(await asyncio.to_thread(build.find_python), INSPECT, place)
    try:
        async for answer in worker:
            match answer:
                case InspectReady(why="", rows=rows) if max_rows is not None and rows > max_rows:
                    raise CodexError(
                        f"{rows:,} rows are too many to count before the start.", "To count them: Esc, then d, then t."
                    )
                case InspectReady(why=""):
                    await worker.send(Tokenise())
                case InspectProgress(what="tokenising", done=done, total=total):
                    report(Progress(f"counting the tokens of {pluralize(total, 'row')}", done, total, "rows"))
                case StatsReady(scan=scan, lengths=str(lengths)):
                    return Path(scan) if scan else None, Path(lengths)
                case StatsReady(why=""):
                    pass  # the scan of a large dataset; the lengths follow
                case InspectReady() | StatsReady():
                    raise (BadInput if answer.kind == "bad_config" else CodexError)(answer.why, answer.hint)
                case WorkerError():
                    raise CodexError(answer.message, answer.hint)
    finally:
        await worker.close()
    raise CodexError("The worker has ended.")
