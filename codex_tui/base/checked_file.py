"""Files of the cache folder that have a checksum of themselves, so that a torn or damaged one is not used."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar
from zlib import crc32

import msgspec

from training.contract import files

CHECKSUM_BYTES = 4
T = TypeVar("T")


def read_checked(path: Path, kind: type[T], max_bytes: int = files.MAX_BYTES) -> T | None:
    """Read the file at `path`. Returns None if it is missing, damaged or too large, or if it has no `kind`."""
    try:
        data = files.read(path, max_bytes)
        checksum, body = data[:CHECKSUM_BYTES], data[CHECKSUM_BYTES:]
        return msgspec.msgpack.decode(body, type=kind) if checksum == compute_checksum(body) else None
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def write_checked(path: Path, content: Any) -> None:
    """Replace the file at `path`, and create its folder. Raises OSError, and ValueError for a text that is not
    UTF-8."""
    data = msgspec.msgpack.encode(content)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write_atomically(path, compute_checksum(data) + data, sync=False)


def compute_checksum(data: bytes) -> bytes:
    return crc32(data).to_bytes(CHECKSUM_BYTES, "big")
