"""Reads all rows of a dataset, good and bad, for training."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain

from training.dataset.records import BadRow, records
from training.dataset.shapes import USUAL, Columns, Reading, Row, Tally, read_row
from training.dataset.source import Source


@dataclass(frozen=True, slots=True)
class RowProblem:
    """What is wrong with the row on `line`. `file` is the file's name if the dataset has several files."""

    line: int
    message: str
    file: str = ""

    def __str__(self) -> str:
        where = f"{self.file}, line" if self.file else "line"
        return f"{where} {self.line}: {self.message}"


@dataclass
class Rows:
    """All rows, in the order of the files and of their lines. The last `validation` of the good rows are those of the
    validation split. `other_kinds_refused`: rows for other kinds of training are among the problems."""

    rows: list[Row] = field(default_factory=list)
    problems: list[RowProblem] = field(default_factory=list)
    reading: Reading = field(default_factory=Reading)
    validation: int = 0
    other_kinds_refused: bool = True


def read(source: Source, columns: Columns = USUAL, *, refuse_other_kinds: bool = True) -> Rows:
    """Read all rows. Raises OSError and Unreadable if a file can't be read at all."""
    result, tally = Rows(other_kinds_refused=refuse_other_kinds), Tally()
    for record in chain.from_iterable(records(path, number) for number, path in enumerate(source.files)):
        try:
            row = read_row(record, columns, refuse_other_kinds=refuse_other_kinds)
        except BadRow as problem:
            tally.add_bad(record)
            result.problems.append(RowProblem(record.line, str(problem), source.label(record.file)))
        else:
            tally.add(row)
            result.rows.append(row)
            result.validation += row.file >= len(source.train_files)
    result.reading = tally.reading
    return result
