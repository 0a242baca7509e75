"""Keeps results about datasets in CACHE/datasets, each under a key of what it depends on. Deleting them is safe.

A file has a checksum of four bytes, then MessagePack.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from training.contract import files

MAX_FILES = 64
"""For each kind. The files that were not used for the longest time are deleted first."""

T = TypeVar("T")


def cache_path(cache: Path, kind: str, *depends_on: Any) -> Path:
    """Return the path for a result of `kind` that depends on the values `depends_on` (any that JSON has)."""
    key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:32]
    return cache / "datasets" / f"{key}.{kind}"


def load(path: Path, kind: type[T]) -> T | None:
    """Load a result; None if it is missing, damaged or of another version. A memoryview field is not copied."""
    try:
        data = memoryview(path.read_bytes())
        if zlib.crc32(data[4:]) != int.from_bytes(data[:4], "big"):
            return None
        result = msgspec.msgpack.decode(data[4:], type=kind)
    except (OSError, ValueError, RecursionError):
        return None
    with suppress(OSError):  # the file may belong to another user
        os.utime(path)
    return result


def save(path: Path, result: Any, max_files: int | None = None) -> None:
    """Replaces `path` (0600) in one step. Of its kind, `max_files` files are kept, or MAX_FILES. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = msgspec.msgpack.encode(result)
    files.write_atomically(path, zlib.crc32(data).to_bytes(4, "big") + data)
    files.delete_oldest(path.parent, f"*{path.suffix}", max_files or MAX_FILES)
