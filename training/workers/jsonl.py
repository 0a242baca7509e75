"""`python -m training jsonl FILE COPY`: copies a file that the app can't read. A Parquet file becomes JSONL, with row n
on line n; a file that Zstandard packed is unpacked."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import msgspec

from training.contract import files
from training.contract.process import die_with_parent
from training.dataset.formats import Unreadable, find_compression, open_data
from training.dataset.records import records


def write(path: Path, copy: Path) -> int:
    """Writes `copy` whole, or not at all. Returns 0, or 1 after one line on stderr that says what is wrong."""
    die_with_parent(True)
    try:
        with files.open_replacement(copy) as file:
            if find_compression(path) == "zstd":
                with open_data(path) as unpacked:
                    shutil.copyfileobj(unpacked, file)
                return 0
            for record in records(path):
                file.write(msgspec.json.encode(record.raw, enc_hook=str) + b"\n")
        return 0
    except Unreadable as error:
        why = str(error)
    except OSError as error:  # an error in the middle of a write, as on a full disk, names no file
        why = f"{error.filename or copy}: {error.strerror or error}."
    print(why, file=sys.stderr)  # noqa: T201
    return 1
