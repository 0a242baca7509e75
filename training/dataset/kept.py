"""What was found out about a dataset, kept under CACHE/datasets by what it depends on. Safe to delete at any time.

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

MOST_KEPT = 64
"""Files of one kind; the ones used longest ago go first."""

T = TypeVar("T")


def place(cache: Path, kind: str, *depends_on: Any) -> Path:
    """The file for `kind` of what `depends_on` (anything that JSON has) says."""
    key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:32]
    return cache / "datasets" / f"{key}.{kind}"


def load(path: Path, kind: type[T]) -> T | None:
    """None where it is not there, damaged or of another version. A field that is a memoryview is not copied."""
    try:
        data = memoryview(path.read_bytes())
        if zlib.crc32(data[4:]) != int.from_bytes(data[:4], "big"):
            return None
        found = msgspec.msgpack.decode(data[4:], type=kind)
    except (OSError, ValueError, RecursionError):
        return None
    with suppress(OSError):  # it may be another's to write
        os.utime(path)
    return found


def save(path: Path, found: Any) -> None:
    """Replaces `path` (0600) in one step. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = msgspec.msgpack.encode(found)
    files.write_atomically(path, zlib.crc32(data).to_bytes(4, "big") + data)
    forget_oldest(path.parent, path.suffix)


def forget_oldest(folder: Path, suffix: str) -> None:
    """Deletes all but the MOST_KEPT newest files whose names end in `suffix`, and what killed writes left."""
    files.clear_unfinished(folder)
    with suppress(OSError):  # another process may be clearing up as well
        newest_first = sorted(folder.glob(f"*{suffix}"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for old in newest_first[MOST_KEPT:]:
            old.unlink(missing_ok=True)
