"""Reads the rows of one file as they are: JSONL, a JSON array, CSV or Parquet.

A row that can't be read becomes a record too, with its line and the reason. Byte-order marks, CRLF line ends and blank
lines are allowed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Format = Literal["jsonl", "json", "csv", "parquet"]

SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_LINE_BYTES = 16 * 2**20
"""For a line of JSONL. No model can read more, and a file with longer lines is not JSONL."""
ACCEPTED = "Give a JSONL, JSON or CSV file in UTF-8, or a Parquet file whose name ends in .parquet."
DELIMITERS = ",;\t|"


class BadRow(ValueError):
    """A row that the model can't learn from. The text says why, in a few words."""


class Unreadable(Exception):
    """A file that can't be read at all, with a message and a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(message)


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


def format_of(path: Path) -> Format:
    """Tell the format from the file's name. A .json file may contain JSONL, and so may a file with an unknown name.

    Raises OSError, and Unreadable if the file should contain text but does not.
    """
    by_name = SUFFIXES.get(path.suffix.lower(), "jsonl")
    if by_name == "parquet":
        return by_name
    with path.open("rb") as file:
        beginning = file.read(4096).removeprefix(BYTE_ORDER_MARK).lstrip()
    if not may_be_text(beginning):
        raise Unreadable(f"{path} is not a text file: it contains NUL bytes.", ACCEPTED)
    return by_name if by_name != "json" or beginning[:1] == b"[" else "jsonl"


def may_be_text(beginning: bytes) -> bool:
    """Guess from its beginning whether a file is text. If it begins like JSON, a NUL byte may be damage in one row."""
    return b"\0" not in beginning or beginning[:1] in (b"{", b"[")


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
        if line.startswith(b"["):
            raise BadRow("a JSON array over several lines; JSONL has one object a line") from None
        raise BadRow(f"not valid JSON: {error.msg} (column {error.colno})") from None
    except BadRow:
        raise
    except ValueError as error:  # NaN, or a number of thousands of digits
        raise BadRow(f"not valid JSON: {error}") from None
    return _check_object(raw)


def _jsonl(path: Path) -> NumberedRows:
    with path.open("rb") as file:
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
    """Read the elements of an array, each with its own line. If the array is broken, read the elements before that."""
    try:
        text = path.read_bytes().removeprefix(BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path} is not UTF-8 text (byte {error.start + 1}).", "Save it as UTF-8.") from None
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    escapes = "\\ud" in text.lower()
    at, line, counted = text.index("[") + 1, 1, 0
    while True:
        at = _skip_space(text, at)
        if text[at : at + 1] == "]":
            return
        line, counted = line + text.count("\n", counted, at), at
        try:
            raw, end = decoder.raw_decode(text, at)
        except RecursionError:
            yield line, "nested too deeply; nothing after it was read"
            return
        except ValueError as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield line, f"the array is broken here, nothing after it was read: {reason}"
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
        elif text[at : at + 1] != "]":
            line += text.count("\n", counted, at)
            yield line, "the array is broken here, nothing after it was read: expected a comma or ]"
            return


def _skip_space(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def _csv(path: Path) -> NumberedRows:
    # Bytes that are not UTF-8 are read as lone surrogates, so that only their own row is bad.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first = file.readline()
        file.seek(0)
        delimiter = max(DELIMITERS, key=first.count)
        csv.field_size_limit(MAX_LINE_BYTES)
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, f"not valid CSV: {error}"
                continue
            if header is None:
                header = cells
                if not _is_text(cells):
                    raise Unreadable(f"{path}: its header (line {line}) is not UTF-8 text.", "Save it as UTF-8.")
            elif cells:
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
