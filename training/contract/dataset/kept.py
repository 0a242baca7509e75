"""What was found out about a dataset, kept under CACHE/datasets by what it depends on. Safe to delete at any time."""

from __future__ import annotations

import hashlib
import json
import os
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
    """None where it is not there, damaged or of another version."""
    try:
        found = msgspec.msgpack.decode(path.read_bytes(), type=kind)
        os.utime(path)
    except (OSError, ValueError, RecursionError):
        return None
    return found


def save(path: Path, found: Any) -> None:
    """Replaces `path` (0600) in one step. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write_atomically(path, msgspec.msgpack.encode(found))
    with suppress(OSError):  # another process may be clearing up as well
        newest_first = sorted(path.parent.glob(f"*{path.suffix}"), key=lambda old: old.stat().st_mtime_ns, reverse=True)
        for old in newest_first[MOST_KEPT:]:
            old.unlink(missing_ok=True)
