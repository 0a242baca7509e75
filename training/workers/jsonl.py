"""`python -m training jsonl FILE COPY`: a dataset file as JSONL, row n on line n, for an app without a Parquet
reader."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from training.dataset.records import Unreadable, records


def write(path: Path, copy: Path) -> int:
    """0, or 1 with one line on stderr that says why not; `copy` is whole or not there."""
    unfinished = copy.with_name(f"{copy.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            for record in records(path):
                file.write(msgspec.json.encode(record.raw, enc_hook=str) + b"\n")
        unfinished.replace(copy)
        return 0
    except Unreadable as error:
        why = str(error)
    except OSError as error:  # in the middle of a write, as on a full disk, it names no file
        why = f"{error.filename or copy}: {error.strerror or error}."
    finally:
        unfinished.unlink(missing_ok=True)
    print(why, file=sys.stderr)  # noqa: T201
    return 1
