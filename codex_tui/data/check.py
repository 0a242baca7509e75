"""Checks a whole dataset. This module reads it; if a profile names a model, the inspect worker counts its tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codex_tui.base import locations
from codex_tui.base.errors import CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.base.text import pluralize
from codex_tui.data import sources
from codex_tui.data.advice import Advice, give_advice
from codex_tui.data.overview import Overview, compute_overview
from codex_tui.data.speed import find_last_speed
from codex_tui.data.target import Target
from codex_tui.environment import build
from training.contract.messages import INSPECT, InspectProgress, InspectReady, StatsReady, Tokenise, WorkerError
from training.contract.profile import Profile
from training.dataset import lengths as token_lengths
from training.dataset import scan as scans
from training.dataset.index import RowIndex
from training.dataset.lengths import Lengths
from training.dataset.records import BadRow
from training.dataset.scan import BAD, Problem, Scan
from training.dataset.shapes import Columns, row_of


@dataclass
class CheckResult:
    """The result of a check. `token_error` is a message and a hint if the tokens could not be counted although a
    profile names a model. `speed` is in tokens a second. Clean the texts before they are shown."""

    target: Target
    scan: Scan
    overview: Overview
    warnings: tuple[Advice, ...]
    speed: float | None
    token_error: tuple[str, str] | None
    _index: RowIndex
    _columns: Columns

    @property
    def passes(self) -> bool:
        """Whether a run would start and learn something."""
        overview, profile = self.overview, self.target.profile
        skips = profile is not None and profile.dataset.on_bad_rows == "skip"
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
            row_of(record, self._columns)
        except BadRow as problem:
            return Problem(record.file, record.line, str(problem))
        return Problem(record.file, record.line, "")


def check_dataset(target: Target, report: OnProgress) -> CheckResult:
    """Check the dataset of `target`. Raises BadInput if a file can't be read, CodexError if a Parquet file needs the
    training environment and there is none."""
    profile = target.settings
    columns = Columns.from_dataset(profile.dataset)
    with sources.translate_read_errors(target.source):
        source = sources.convert_parquet(target.source)
        index = RowIndex.open(
            source, locations.cache_home(), lambda done, total: report(Progress("finding the rows", done, total))
        )
        scan = _scan(index, columns, profile, report)
    lengths, token_error, speed = None, None, None
    if target.profile and scan.kept:
        lengths, token_error = asyncio.run(_count_tokens(target, scan.kept, report))
        speed = find_last_speed(target.profile, target.path)
    figures = compute_overview(scan, lengths, profile, speed)
    warnings = tuple(give_advice(figures, scan, lengths, profile))
    return CheckResult(target, scan, figures, warnings, speed, token_error, index, columns)


def _scan(index: RowIndex, columns: Columns, profile: Profile, report: OnProgress) -> Scan:
    step = f"reading {pluralize(len(index), 'row')}"
    report(Progress(step))
    loaded = scans.load_or_scan(
        index, columns, profile, locations.cache_home(),
        lambda done, total: report(Progress(step, done, total, "rows")),
    )  # fmt: skip
    assert loaded is not None  # only a cancelled scan is None
    return loaded[1]


async def _count_tokens(target: Target, rows: int, report: OnProgress) -> tuple[Lengths | None, tuple[str, str] | None]:
    """Return the lengths of the `rows` good rows; or None, and a message with a hint that say why."""
    from codex_tui.workers.process import Worker

    try:
        place = target.prepare_worker_target()
        assert place is not None  # the target has a profile
        worker = await Worker.start(build.find_python(), INSPECT, place)
    except CodexError as error:
        return None, (error.message, error.hint)
    try:
        async for answer in worker:
            match answer:
                case InspectReady(why=""):
                    await worker.send(Tokenise())
                case InspectProgress(what="tokenising", done=done, total=total):
                    report(Progress(f"counting the tokens of {pluralize(total, 'row')}", done, total, "rows"))
                case StatsReady(lengths=str(path)):
                    if lengths := token_lengths.load(Path(path), rows):
                        return lengths, None
                    return None, ("The rows changed during the check.", "Check them again.")
                case StatsReady(why=""):
                    pass  # the scan of a large dataset; the lengths follow
                case InspectReady() | StatsReady():
                    return None, (answer.why, answer.hint)
                case WorkerError():
                    return None, (answer.message, answer.hint)
    except CodexError as error:
        return None, (error.message, error.hint)
    finally:
        await worker.close()
    return None, ("The worker has ended.", "")
