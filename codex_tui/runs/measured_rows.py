"""Reads RUN/judgements/rows.jsonl: what the adapter of a run made of each row. `codex-tui judge RUN --rows` writes it.

The first line says which adapter and which dataset were measured. Then comes a line for each row, and a last one when
all rows are measured. The run may be copied from anywhere, so a reader stops at the first line that is damaged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from training.contract import files
from training.contract.event_base import Count
from training.contract.judge_messages import JudgeEnd, RowLosses, RowMeasured
from training.contract.run_directory import RunDirectory

NAME = "rows.jsonl"
VERSION = 2
VERSION_WITHOUT_TOKENS = 1
MAX_HEADER_BYTES = 4096
MAX_LINE_BYTES = 4 * 2**20  # the losses of 100,000 tokens need about 1 MB
MAX_BYTES = 2 * 2**30


class RowsHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured: the checksums of the adapter and of the dataset, the step of the adapter's checkpoint (None:
    the run's own adapter), and when it began."""

    version: int
    adapter: str
    dataset: str
    step: Count | None = None
    created: float = 0.0

    def is_of(self, other: RowsHeader) -> bool:
        """Whether the rows of both files can stand in one."""
        return (self.version, self.adapter, self.dataset) == (other.version, other.adapter, other.dataset)


class MeasuredRows:
    """Reads the file of a run once. `header` is None if there is no file, or none that this version can read.

    After the iteration, `complete` says whether all rows are measured, and `end` is the offset after the last whole
    line.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.path = run.judgements / NAME
        self.header: RowsHeader | None = None
        self.end = 0
        self.complete = False
        self._decoder = msgspec.json.Decoder(RowLosses | JudgeEnd)
        try:
            with files.open_file(self.path) as file:
                self._read_header(file.readline(MAX_HEADER_BYTES), os.fstat(file.fileno()))
        except OSError:
            return

    def _read_header(self, line: bytes, status: os.stat_result) -> None:
        try:
            header = msgspec.json.decode(line, type=RowsHeader)
        except (ValueError, RecursionError):
            return
        if header.version <= VERSION and status.st_size <= MAX_BYTES and line.endswith(b"\n"):
            created = header.created or status.st_mtime  # older files don't say it
            self.header, self.end = msgspec.structs.replace(header, created=created), len(line)

    def __iter__(self) -> Iterator[tuple[int, RowLosses]]:
        """Yield the offset of each row's line, and the row without the losses of its tokens."""
        if self.header is None:
            return
        try:
            with files.open_file(self.path) as file:
                file.seek(self.end)
                yield from self._read_rows(iter(lambda: file.readline(MAX_LINE_BYTES), b""))
        except OSError:
            return

    def _read_rows(self, lines: Iterator[bytes]) -> Iterator[tuple[int, RowLosses]]:
        last = -1
        for line in lines:
            try:
                row = self._decoder.decode(line) if line.endswith(b"\n") else None
            except (ValueError, RecursionError):
                return
            if isinstance(row, JudgeEnd):
                self.complete, self.end = True, self.end + len(line)
                return
            if row is None or row.position <= last:
                return
            last, offset = row.position, self.end
            self.end += len(line)
            yield offset, row


def read_row(path: Path, offset: int) -> RowMeasured | None:
    """Read the row whose line begins at `offset`, with the losses of its tokens. Returns None if it is not there."""
    try:
        with files.open_file(path) as file:
            file.seek(offset)
            return msgspec.json.decode(file.readline(MAX_LINE_BYTES), type=RowMeasured)
    except (OSError, ValueError, RecursionError):
        return None
