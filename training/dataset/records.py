"""Reads the rows of one file as they are: JSONL, a JSON array, CSV or Parquet.

A row that can't be read becomes a record too, with its line and the reason. Byte-order marks, CRLF line ends and blank
lines are allowed.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from training.dataset.formats import (
    BYTE_ORDER_MARK,
    MAX_LINE_BYTES,
    Unreadable,
    find_row_list,
    format_of,
    open_data,
)

DELIMITERS = ",;\t|"
_SEPARATOR = re.compile(r"sep=(.)\s*", re.IGNORECASE)


class BadRow(ValueError):
    """A row that the model can't learn from. The text says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row of file number `file` of the dataset. If it can't be read, `raw` is None and `problem` says why.

    `line` counts from 1. It is the line in a JSONL or CSV file, the line where the element begins in a JSON array, and
    the row number in a Parquet file.
    """

    file: int
    line: int
    raw: dict[str, Any] | None
    problem: str = ""


def records(path: Path, file: int = 0) -> Iterator[Record]:
    """Yield every row of the file at `path`, in order. Raises OSError and Unreadable."""
    readers = {"jsonl": _jsonl, "json": _json, "csv": _csv, "parquet": _parquet}
    for line, row in readers[format_of(path)](path):
        if isinstance(row, str):
            yield Record(file, line, None, row)
        else:
            yield Record(file, line, row)


NumberedRows = Iterator[tuple[int, dict[str, Any] | str]]  # a line number, and the row or the reason why it is bad


def parse_line(line: bytes) -> dict[str, Any]:
    """Parse one line of JSONL. Raises BadRow."""
    if len(line) > MAX_LINE_BYTES:
        raise BadRow(f"longer than {MAX_LINE_BYTES // 2**20} MiB; JSONL has one object a line")
    try:
        raw = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
        if b"\\ud" in line.lower():
            _check_characters(raw)
    except UnicodeDecodeError as error:
        raise BadRow(f"not UTF-8 text (byte {error.start + 1} of the line)") from None
    except RecursionError:
        raise BadRow("nested too deeply") from None
    except json.JSONDecodeError as error:
        if line[-2:] == b"},":  # rows that were copied from an array
            return parse_line(line[:-1])
        if line.startswith(b"["):
            raise BadRow("a JSON array over several lines; JSONL has one object a line") from None
        raise BadRow(f"not valid JSON: {error.msg} (column {error.colno})") from None
    except BadRow:
        raise
    except ValueError as error:  # NaN, or a number of thousands of digits
        raise BadRow(f"not valid JSON: {error}") from None
    return _check_object(raw)


def _jsonl(path: Path) -> NumberedRows:
    with open_data(path) as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 2):
            number += 1
            part = line
            while part[-1:] != b"\n" and len(part) > MAX_LINE_BYTES:  # skip the rest of a line that is too long
                part = file.readline(MAX_LINE_BYTES + 2)
            text = (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).strip()
            if text:
                try:
                    yield number, parse_line(text)
                except BadRow as problem:
                    yield number, str(problem)


def _json(path: Path) -> NumberedRows:
    """Read an array, an object that holds one under a name such as "data", or objects over several lines. Each element
    has its own line. If the JSON is broken, read what comes before that."""
    try:
        with open_data(path) as file:
            text = file.read().removeprefix(BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path} is not UTF-8 text (byte {error.start + 1}).", "Save it as UTF-8.") from None
    start = _skip_space(text, 0)
    if text[start : start + 1] == "[":
        return _json_values(text, start + 1, "]")
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return _json_values(text, start, "")
    name = find_row_list(value) if _skip_space(text, end) == len(text) else None
    return _json_values(text, _find_member(text, start, name) + 1, "]") if name else _json_values(text, start, "")


def _find_member(text: str, at: int, name: str) -> int:
    """Return where the value of the member `name` begins in the object that begins at `at`."""
    decoder, key = json.JSONDecoder(), None
    while True:
        key, at = decoder.raw_decode(text, _skip_space(text, at + 1))
        at = _skip_space(text, _skip_space(text, at) + 1)  # after the colon
        if key == name:
            return at
        at = _skip_space(text, decoder.raw_decode(text, at)[1])


def _json_values(text: str, at: int, closing: str) -> NumberedRows:
    """Read the elements of an array from its first one on; or, without `closing`, all values up to the end of the
    text."""
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    escapes = "\\ud" in text.lower()
    line, counted = 1, 0
    kind = "array" if closing else "JSON"
    while True:
        at = _skip_space(text, at)
        if text[at : at + 1] == closing:
            return
        line, counted = line + text.count("\n", counted, at), at
        try:
            raw, end = decoder.raw_decode(text, at)
        except RecursionError:
            yield line, "nested too deeply; nothing after it was read"
            return
        except ValueError as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield line, f"the {kind} is broken here, nothing after it was read: {reason}"
            return
        try:
            if escapes:
                _check_characters(raw)
            yield line, _check_object(raw)
        except BadRow as problem:
            yield line, str(problem)
        at = _skip_space(text, end)
        if text[at : at + 1] == ",":
            at += 1
        elif closing and text[at : at + 1] != closing:
            line += text.count("\n", counted, at)
            yield line, "the array is broken here, nothing after it was read: expected a comma or ]"
            return


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def _csv(path: Path) -> NumberedRows:
    # Bytes that are not UTF-8 are read as lone surrogates, so that only their own row is bad.
    with (
        open_data(path) as binary,
        io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="") as file,
    ):
        yield from _csv_rows(path, file)


def _csv_rows(path: Path, file: IO[str]) -> NumberedRows:
    first, before = file.readline(), 0
    while first.isspace():
        first, before = file.readline(), before + 1
    if named := _SEPARATOR.fullmatch(first):  # Excel's line that names the delimiter
        first, before = file.readline(), before + 1
    delimiter = named[1] if named else max(DELIMITERS, key=first.count)
    # A space after each delimiter is part of the style, and a quote may follow it.
    spaced = delimiter in first and first.count(delimiter) == first.count(f"{delimiter} ")
    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader(chain([first], file), delimiter=delimiter, strict=True, skipinitialspace=spaced)
    header: list[str] | None = None
    while True:
        line = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"not valid CSV: {error}"
            continue
        if not any(map(str.strip, cells)):  # an empty line, or Excel's row of empty cells
            continue
        if header is None:
            header = [name.strip() for name in cells]
            if not _is_text(cells):
                raise Unreadable(f"{path}: its header (line {line}) is not UTF-8 text.", "Save it as UTF-8.")
        else:
            yield line, _combine(header, cells)


def _combine(header: list[str], cells: list[str]) -> dict[str, Any] | str:
    if len(cells) != len(header):
        return f"has {len(cells)} field{'s'[: len(cells) != 1]}, and the header names {len(header)}"
    return dict(zip(header, cells, strict=True)) if _is_text(cells) else "not UTF-8 text"


def _is_text(cells: list[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet(path: Path) -> NumberedRows:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise Unreadable(f"{path}: reading Parquet needs the training environment.", "Run: codex-tui setup") from None
    row = 0
    try:
        for batch in ParquetFile(path).iter_batches(1024):
            for raw in batch.to_pylist():
                row += 1
                yield row, raw
    except (ArrowException, ValueError, OverflowError) as error:  # for bytes that are not text, or an impossible date
        raise Unreadable(f"{path} is not a Parquet file, or it is damaged: {str(error).rstrip('.')}.") from None


def _check_object(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise BadRow(f"expected a JSON object, found {describe_type(raw)}")
    return raw


def _check_characters(raw: Any) -> None:
    """Raise BadRow if an escape stands for half a character: no tokenizer accepts that."""
    try:
        json.dumps(raw, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise BadRow("has half of a surrogate pair (\\ud800 to \\udfff), which is not a character") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def describe_type(value: Any) -> str:
    """Say in words what type `value` has."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing (null)"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
