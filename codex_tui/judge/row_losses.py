"""What the adapter made of each row: its loss per token, beside that of the base model.

`codex_tui.runs.measured_rows` reads the file with the losses. They are kept as they come, so a measurement that is
killed goes on where it was. For another adapter or dataset, all rows are measured again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

import msgspec

from codex_tui.base.progress import OnProgress, Progress
from codex_tui.judge.plan import Side
from codex_tui.judge.worker_talk import JudgeTalk
from codex_tui.runs.measured_rows import NAME, VERSION, MeasuredRows, RowsHeader
from training.contract import files
from training.contract.judge_messages import JudgeEnd, RowLosses
from training.contract.judgement_file import make_folder
from training.contract.messages import Message


async def measure_rows(side: Side, report: OnProgress) -> list[RowLosses]:
    """Measure every row of the run, and return the rows, worst-learned first. Raises CodexError, OSError."""
    rows, header = MeasuredRows(side.run), _make_header(side)
    known = [row for _, row in rows] if rows.header and rows.header.is_of(header) else []
    if not rows.complete or not known:
        with _Recorder(side, header, rows.end if known else 0) as recorder:
            async with JudgeTalk.start(side.run, report) as talk:
                async for row in talk.measure_rows(known[-1].position + 1 if known else 0):
                    recorder.add(row)
            recorder.add(JudgeEnd())
    report(Progress("sorting the rows"))
    return read_measured(side)


def read_measured(side: Side) -> list[RowLosses]:
    """Return the rows that were measured for the run's adapter as it is, worst-learned first; [] if there are none."""
    rows = MeasuredRows(side.run)
    if rows.header is None or not rows.header.is_of(_make_header(side)):
        return []
    return sort_rows(row for _, row in rows)


def sort_rows(rows: Iterable[RowLosses]) -> list[RowLosses]:
    """Sort by the adapter's loss per token: a wrong answer is learned last, because the other rows contradict it.

    What the adapter gained on base finds fewer of them: of 10 wrong answers in 400 rows 9 among the worst 20, and the
    loss finds 10. Neither finds any where each row is learned by heart and nothing contradicts it.
    """
    return sorted(rows, key=lambda row: -row.adapter.per_token)


def _make_header(side: Side) -> RowsHeader:
    fingerprint = side.config.dataset_fingerprint
    return RowsHeader(
        version=VERSION,
        adapter=side.model.sha256,
        dataset=fingerprint.sha256 if fingerprint else "",
        step=side.model.step,
        created=time.time(),
    )


class _Recorder:
    """Appends rows to the file, after its first `size` bytes. Begins a new file if `size` is 0."""

    def __init__(self, side: Side, header: RowsHeader, size: int) -> None:
        self._path = side.run.judgements / NAME
        make_folder(self._path.parent)
        if not size:
            files.write_atomically(self._path, msgspec.json.encode(header) + b"\n")
        self._descriptor = files.open_to_append(self._path)
        if size:  # removes what may follow the last good line
            os.ftruncate(self._descriptor, size)

    def __enter__(self) -> _Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def add(self, message: Message) -> None:
        with files.name_path_in_errors(self._path):
            os.write(self._descriptor, msgspec.json.encode(message) + b"\n")
