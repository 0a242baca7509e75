"""What the adapter made of each row: its loss per token, beside that of the base model.

RUN/judgements/rows.jsonl keeps the losses as they come, so a measurement that is killed goes on where it was. The first
line names the adapter and the dataset; for others, all rows are measured again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from codex_tui.base.progress import OnProgress, Progress
from codex_tui.judge.plan import Side
from codex_tui.judge.worker_talk import start_worker
from training.contract import files
from training.contract.judge_messages import RowMeasured
from training.contract.judgement import make_folder

NAME = "rows.jsonl"
VERSION = 1
MAX_LINE_BYTES = 64 * 1024
MAX_BYTES = 2 * 2**30


class RowsHeader(msgspec.Struct, frozen=True, kw_only=True):
    version: int = VERSION
    adapter: str
    dataset: str


async def measure_rows(side: Side, report: OnProgress) -> list[RowMeasured]:
    """Measure every row of the run, and return the rows, worst-learned first. Raises CodexError, OSError."""
    path, header = side.run.judgements / NAME, _make_header(side)
    rows = list(_read_rows(path, header))
    with _Recorder(path, header, rows) as recorder:
        async with start_worker(side.run, report) as talk:
            async for row in talk.measure_rows(rows[-1].position + 1 if rows else 0):
                recorder.add(row)
                rows.append(row)
    report(Progress("sorting the rows"))
    return sort_rows(rows)


def read_measured(side: Side) -> list[RowMeasured]:
    """Return the rows that were measured for the run's adapter as it is, worst-learned first; [] if there are none."""
    return sort_rows(list(_read_rows(side.run.judgements / NAME, _make_header(side))))


def sort_rows(rows: list[RowMeasured]) -> list[RowMeasured]:
    """Sort by the adapter's loss per token: a wrong answer is learned last, because the other rows contradict it.

    What the adapter gained on base finds fewer of them: of 10 wrong answers in 400 rows 9 among the worst 20, and the
    loss finds 10. Neither finds any where each row is learned by heart and nothing contradicts it.
    """
    return sorted(rows, key=lambda row: -row.adapter.per_token)


def _make_header(side: Side) -> RowsHeader:
    fingerprint = side.config.dataset_fingerprint
    return RowsHeader(adapter=side.model.sha256, dataset=fingerprint.sha256 if fingerprint else "")


def _read_rows(path: Path, header: RowsHeader) -> Iterator[RowMeasured]:
    """Yield the whole lines of the file, up to the first that is damaged; nothing if it has another header."""
    decoder = msgspec.json.Decoder(RowMeasured)
    try:
        with files.open_file(path) as file:
            first = file.readline(MAX_LINE_BYTES)
            if os.fstat(file.fileno()).st_size > MAX_BYTES or msgspec.json.decode(first, type=RowsHeader) != header:
                return
            position = -1
            while (line := file.readline(MAX_LINE_BYTES)).endswith(b"\n"):
                row = decoder.decode(line)
                if row.position <= position:
                    return
                position = row.position
                yield row
    except (OSError, ValueError, RecursionError):
        return


class _Recorder:
    """Appends rows to the file. It begins a new file unless `rows` are the ones in it."""

    def __init__(self, path: Path, header: RowsHeader, rows: list[RowMeasured]) -> None:
        make_folder(path.parent)
        lines = [msgspec.json.encode(value) + b"\n" for value in (header, *rows)]
        files.write_atomically(path, b"".join(lines))  # without what may follow the last good line
        self._descriptor = files.open_to_append(path)
        self._path = path

    def __enter__(self) -> _Recorder:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def add(self, row: RowMeasured) -> None:
        with files.name_path_in_errors(self._path):
            os.write(self._descriptor, msgspec.json.encode(row) + b"\n")
