"""Tells which files hold data and in which format, and opens them. A file may be compressed with gzip or Zstandard."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

Format = Literal["jsonl", "json", "csv", "parquet"]
Compression = Literal["gzip", "zstd"]

SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
COMPRESSED_SUFFIXES = (".gz", ".zst")
DATA_SUFFIXES = (
    *SUFFIXES,
    *(kind + end for kind, name in SUFFIXES.items() if name != "parquet" for end in COMPRESSED_SUFFIXES),
)
MAGIC: dict[bytes, Compression] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_LINE_BYTES = 16 * 2**20
"""For a line of JSONL. No model can read more, and a file with longer lines is not JSONL."""
ACCEPTED = "Give a JSONL, JSON or CSV file in UTF-8, or a Parquet file whose name ends in .parquet."
ROW_LISTS = ("data", "rows", "train", "examples", "samples", "records", "items", "instances", "entries", "dataset")
"""The names under which a JSON object may hold all rows of its file, as in {"data": [{...}, {...}]}."""


class Unreadable(Exception):
    """A file that can't be read at all, with a message and a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.message, self.hint = message, hint
        super().__init__(message)


def is_data_file(name: str) -> bool:
    """Tell from its name whether a file holds rows."""
    return name.lower().endswith(DATA_SUFFIXES)


def strip_data_suffix(name: str) -> str:
    """Return a data file's name without its ending: guide for guide.jsonl.gz."""
    suffix = max((end for end in DATA_SUFFIXES if name.lower().endswith(end)), key=len, default="")
    return name[: len(name) - len(suffix)]


def find_compression(path: Path) -> Compression | None:
    """Tell from its first bytes how a file is compressed. Raises OSError."""
    with path.open("rb") as file:
        beginning = file.read(4)
    return next((kind for magic, kind in MAGIC.items() if beginning.startswith(magic)), None)


@contextmanager
def open_data(path: Path) -> Iterator[IO[bytes]]:
    """Open a file of text for reading, unpacked if it is compressed. Raises OSError, and Unreadable if the file can't
    be unpacked."""
    compression = find_compression(path)
    try:
        with _open(path, compression) as file:
            yield file
    except (EOFError, zlib.error, OSError) as error:
        # gzip's BadGzipFile and pyarrow's error for damaged Zstandard are OSErrors without a number.
        if compression is None or getattr(error, "errno", None) is not None:
            raise
        raise Unreadable(f"{path} can't be unpacked: {str(error).rstrip('.')}.", "Check that it is complete.") from None


def _open(path: Path, compression: Compression | None) -> Any:
    if compression is None:
        return path.open("rb")
    if compression == "gzip":
        return gzip.open(path, "rb")
    try:
        import pyarrow
    except ImportError:
        message = f"{path}: unpacking Zstandard needs the training environment."
        raise Unreadable(message, "Run: codex-tui setup") from None
    return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))


def format_of(path: Path) -> Format:
    """Tell the format from the file's name and its beginning: JSON may be named .jsonl and JSONL .json, and a file with
    an unknown name is one of the two.

    Raises OSError, and Unreadable if the file should contain text but does not.
    """
    name = path.name.lower()
    kind: Format = next(
        (SUFFIXES[end] for end in SUFFIXES if name.endswith((end, *(end + more for more in COMPRESSED_SUFFIXES)))),
        "jsonl",
    )
    if kind == "parquet":
        return kind
    with open_data(path) as file:
        beginning = file.read(4096).removeprefix(BYTE_ORDER_MARK).lstrip()
        if not may_be_text(beginning):
            raise Unreadable(f"{path} is not a text file: it contains NUL bytes.", ACCEPTED)
        if kind == "csv":
            return kind
        if beginning[:1] not in (b"[", b"{"):
            return "jsonl"
        line, end, after = beginning.partition(b"\n")
        if not end:
            line += file.readline(MAX_LINE_BYTES)
        after = after.strip() or file.read(4096).strip()
    return "json" if _is_document(line.rstrip(), after) else "jsonl"


def _is_document(line: bytes, after: bytes) -> bool:
    """Tell whether a file has JSON values that may take several lines, and not one object a line. `line` is the first
    line with text, `after` the beginning of what follows."""
    if line == b"{":
        return after[:1] == b'"'
    text = line.removesuffix(b",").decode("utf-8", "replace")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if text[:1] == "[" and not after:
            return True
        # The line ends inside of the value, where a person or a program starts a new line.
        inside = error.pos >= len(text.rstrip()) - 1 or line.endswith(b",")
        return inside and (text[:1] == "[" or line[-1:] in (b"{", b"[", b",", b":"))
    except (ValueError, RecursionError):
        return False
    if isinstance(value, list):
        return not after
    return not after and find_row_list(value) is not None


def find_row_list(value: Any) -> str | None:
    """Return the name under which a JSON object holds all rows of its file; None if it is a row itself."""
    for name in ROW_LISTS:
        rows = value.get(name) if isinstance(value, dict) else None
        if isinstance(rows, list) and rows and all(isinstance(row, dict) for row in rows):
            return name
    return None


def may_be_text(beginning: bytes) -> bool:
    """Guess from its beginning whether a file is text. If it begins like JSON, a NUL byte may be damage in one row."""
    return b"\0" not in beginning or beginning[:1] in (b"{", b"[")
