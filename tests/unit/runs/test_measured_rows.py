"""The file of measured rows: what is read of it when it is whole, torn, old, new or damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from codex_tui.runs.measured_rows import NAME, VERSION, MeasuredRows, RowsHeader, read_row
from training.contract.judge_messages import JudgeEnd, RowMeasured
from training.contract.judgement import Loss
from training.contract.run_directory import RunDirectory

HEADER = RowsHeader(version=VERSION, adapter="a" * 64, dataset="d" * 64, step=40, created=1.0)


def make_row(position: int) -> RowMeasured:
    return RowMeasured(
        position=position,
        total=9,
        file="",
        line=position + 1,
        held_out=False,
        question="?",
        answer="!",
        adapter=Loss(total=0.5, tokens=2),
        base=Loss(total=14.0, tokens=2),
        adapter_tokens=[[20, 30]],
        base_tokens=[[700, 700]],
    )


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path)
    run.judgements.mkdir()
    return run


def write(run: RunDirectory, *values: Any, torn: bytes = b"") -> list[int]:
    """Write the lines, and return where each begins."""
    lines = [msgspec.json.encode(value) + b"\n" for value in values]
    (run.judgements / NAME).write_bytes(b"".join(lines) + torn)
    return [sum(map(len, lines[:place])) for place in range(len(lines) + 1)]


def test_a_whole_file_and_one_that_a_kill_tore(run: RunDirectory) -> None:
    starts = write(run, HEADER, make_row(0), make_row(3), JudgeEnd())
    rows = MeasuredRows(run)
    assert rows.header == HEADER
    assert [(offset, row.position) for offset, row in rows] == [(starts[1], 0), (starts[2], 3)]
    assert (rows.complete, rows.end) == (True, starts[4])
    assert read_row(rows.path, starts[2]) == make_row(3)
    starts = write(run, HEADER, make_row(0), make_row(3), torn=msgspec.json.encode(make_row(4)))
    rows = MeasuredRows(run)
    assert len(list(rows)) == 2
    assert (rows.complete, rows.end) == (False, starts[3])  # the next row takes the place of the torn one
    assert read_row(rows.path, 3) is None
    assert read_row(run.path / "none", 0) is None


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [{"version": VERSION + 1, "adapter": "", "dataset": ""}],
        [{"adapter": 3}],
        [make_row(0)],
        [{"version": VERSION, "adapter": "a" * 5000, "dataset": ""}],
    ],
)
def test_a_file_that_this_version_cant_read_has_no_header_and_no_rows(run: RunDirectory, lines: list[Any]) -> None:
    write(run, *lines)
    assert MeasuredRows(run).header is None
    assert list(MeasuredRows(run)) == []


@pytest.mark.parametrize("damaged", [b"{}\n", b"\xff\n", b"[" * 5000 + b"\n", msgspec.json.encode(make_row(1)) + b"\n"])
def test_reading_ends_at_a_damaged_line_and_at_a_row_that_was_there_before(run: RunDirectory, damaged: bytes) -> None:
    write(run, HEADER, make_row(1), torn=damaged + msgspec.json.encode(make_row(2)) + b"\n")
    rows = MeasuredRows(run)
    assert [row.position for _, row in rows] == [1]
    assert not rows.complete


def test_an_old_file_has_the_time_of_its_last_change(run: RunDirectory) -> None:
    write(run, {"version": 1, "adapter": "a", "dataset": "d"})
    header = MeasuredRows(run).header
    assert header
    assert header.created == (run.judgements / NAME).stat().st_mtime
    assert not header.is_of(RowsHeader(version=VERSION, adapter="a", dataset="d"))
    assert HEADER.is_of(msgspec.structs.replace(HEADER, created=5.0, step=None))


def test_there_is_no_file_or_a_folder(run: RunDirectory) -> None:
    assert MeasuredRows(run).header is None
    (run.judgements / NAME).mkdir()
    assert list(MeasuredRows(run)) == []
