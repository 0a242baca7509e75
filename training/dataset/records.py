"""The rows of one file as they stand: JSONL, a JSON array, CSV or Parquet. What can't be read becomes a record as well,
with its line and the reason; a byte-order mark, CRLF line ends and blank lines are fine."""

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
LONGEST_LINE = 16 * 2**20
"""Bytes of a JSONL line; no model reads more, and a longer one is a file that is no JSONL."""
ACCEPTED = "Give a JSONL, JSON or CSV file in UTF-8, or a Parquet file whose name ends in .parquet."
DELIMITERS = ",;\t|"


class BadRow(ValueError):
    """Why a row can't be learned from, in a few words."""


class Unreadable(Exception):
    """Why a file as a whole can't be read, and what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Record:
    """A row as file number `file` of its dataset has it; `raw` is None where `problem` says why it can't be read.

    `line` counts from 1: of a JSONL or CSV file its line, of a JSON array the line where the element begins, of a
    Parquet file its row.
    """

    file: int
    line: int
    raw: dict[str, Any] | None
    problem: str = ""


def format_of(path: Path) -> Format:
    """By the name; a .json file may hold JSONL, and any other name is taken for it. Raises OSError, and Unreadable
    where what would be text is not."""
    by_name = SUFFIXES.get(path.suffix.lower(), "jsonl")
    if by_name == "parquet":
        return by_name
    with path.open("rb") as file:
        beginning = file.read(4096).removeprefix(BYTE_ORDER_MARK).lstrip()
    if not may_be_text(beginning):
        raise Unreadable(f"{path} is not a text file: it has NUL bytes.", ACCEPTED)
    return by_name if by_name != "json" or beginning[:1] == b"[" else "jsonl"


def may_be_text(beginning: bytes) -> bool:
    """Whether a file may be text, damaged or not: of one that begins as JSON, a row alone may have a NUL byte."""
    return b"\0" not in beginning or beginning[:1] in (b"{", b"[")


def records(path: Path, file: int = 0) -> Iterator[Record]:
    """Every row of the file at `path`, in its order. Raises OSError and Unreadable."""
    readers = {"jsonl": _jsonl, "json": _json, "csv": _csv, "parquet": _parquet}
    for line, found in readers[format_of(path)](path):
        if isinstance(found, str):
            yield Record(file, line, None, found)
        else:
            yield Record(file, line, found)


Found = Iterator[tuple[int, dict[str, Any] | str]]  # a line, and the row there or what is wrong with it


def parse_line(line: bytes) -> dict[str, Any]:
    """The object on one line of JSONL. Raises BadRow."""
    if len(line) > LONGEST_LINE:
        raise BadRow(f"longer than {LONGEST_LINE // 2**20} MiB; JSONL has one object a line")
    try:
        raw = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
        if b"\\ud" in line.lower():
            _require_characters(raw)
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
    return _object(raw)


def _jsonl(path: Path) -> Found:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 2):
            number += 1
            rest = line
            while rest[-1:] != b"\n" and len(rest) > LONGEST_LINE:  # the rest of a line that is too long is skipped
                rest = file.readline(LONGEST_LINE + 2)
            text = (line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line).strip()
            if text:
                try:
                    yield number, parse_line(text)
                except BadRow as problem:
                    yield number, str(problem)


def _json(path: Path) -> Found:
    """The elements of an array, each with its own line. Where the array is broken, what came before it is kept."""
    try:
        text = path.read_bytes().removeprefix(BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(f"{path} is not UTF-8 text (byte {error.start + 1}).", "Save it as UTF-8.") from None
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    escapes = "\\ud" in text.lower()
    at, line, counted = text.index("[") + 1, 1, 0
    while True:
        at = _past_space(text, at)
        if text[at : at + 1] == "]":
            return
        line, counted = line + text.count("\n", counted, at), at
        try:
            raw, end = decoder.raw_decode(text, at)
        except RecursionError:
            yield line, "nested too deeply; nothing after it was read"
            return
        except ValueError as error:
            what = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield line, f"the array is broken here, nothing after it was read: {what}"
            return
        try:
            if escapes:
                _require_characters(raw)
            yield line, _object(raw)
        except BadRow as problem:
            yield line, str(problem)
        at = _past_space(text, end)
        if text[at : at + 1] == ",":
            at += 1
        elif text[at : at + 1] != "]":
            line += text.count("\n", counted, at)
            yield line, "the array is broken here, nothing after it was read: expected a comma or ]"
            return


def _past_space(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\r", "\n"):
        at += 1
    return at


def _csv(path: Path) -> Found:
    # Bytes that are no UTF-8 come as lone surrogates, so that only their own row is bad.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first = file.readline()
        file.seek(0)
        delimiter = max(DELIMITERS, key=first.count)
        csv.field_size_limit(LONGEST_LINE)
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
                yield line, _named(header, cells)


def _named(header: list[str], cells: list[str]) -> dict[str, Any] | str:
    if len(cells) != len(header):
        return f"has {len(cells)} field{'s'[: len(cells) != 1]}, and the header names {len(header)}"
    return dict(zip(header, cells, strict=True)) if _is_text(cells) else "not UTF-8 text"


def _is_text(cells: list[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _parquet(path: Path) -> Found:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise Unreadable(f"{path}: Parquet is read by the training environment.", "Run: codex-tui setup") from None
    row = 0
    try:
        for batch in ParquetFile(path).iter_batches(1024):
            for raw in batch.to_pylist():
                row += 1
                yield row, raw
    except (ArrowException, ValueError, OverflowError) as error:  # of bytes that are no text, of a date in no calendar
        raise Unreadable(f"{path} is no Parquet file that can be read: {str(error).rstrip('.')}.") from None


def _object(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise BadRow(f"expected a JSON object, found {kind(raw)}")
    return raw


def _require_characters(raw: Any) -> None:
    """An escape may stand for half a character, which no tokenizer takes. Raises BadRow."""
    try:
        json.dumps(raw, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise BadRow("has half of a surrogate pair (\\ud800 to \\udfff), which is no character") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def kind(value: Any) -> str:
    """What `value` is, in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing (null)"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
