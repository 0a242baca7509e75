"""Takes RUN/history apart, and makes one whose checksums are right whatever it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from training.history.columns import _CHECKSUM, _HEADER, crc32


class Chunk(NamedTuple):
    header: bytes
    points: bytes
    rest: bytes


def split_chunks(data: bytes) -> Iterator[Chunk]:
    at = 0
    while at < len(data):
        body = at + _HEADER.size
        *_, points, rest = _HEADER.unpack(data[at:body])
        yield Chunk(data[at:body], data[body : body + points], data[body + points : body + points + rest])
        at = body + points + rest + _CHECKSUM.size


def join_chunk(chunk: Chunk, rest: bytes) -> bytes:
    """Return the bytes of `chunk` with another state, and the checksum of these bytes."""
    *numbers, points, _ = _HEADER.unpack(chunk.header)
    data = _HEADER.pack(*numbers, points, len(rest)) + chunk.points + rest
    return data + _CHECKSUM.pack(crc32(data))
