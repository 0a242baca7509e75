"""Takes RUN/history apart, and makes one whose checksums are right whatever it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from training.history.columns import _CHECKSUM, _HEADER, crc32
from training.history.values import count_bytes


class Chunk(NamedTuple):
    header: bytes
    points: bytes
    rest: bytes
    values: bytes


def split_chunks(data: bytes) -> Iterator[Chunk]:
    at = 0
    while at < len(data):
        body = at + _HEADER.size
        *_, length, _, _, points, rest = _HEADER.unpack(data[at:body])
        end = body + points + rest
        values = end + _CHECKSUM.size
        at = values + count_bytes(length) + _CHECKSUM.size
        yield Chunk(
            data[body - _HEADER.size : body], data[body : body + points], data[body + points : end], data[values:at]
        )


def join_chunk(chunk: Chunk, rest: bytes) -> bytes:
    """Return the bytes of `chunk` with another state, and the checksum of these bytes."""
    *numbers, points, _ = _HEADER.unpack(chunk.header)
    data = _HEADER.pack(*numbers, points, len(rest)) + chunk.points + rest
    return data + _CHECKSUM.pack(crc32(data)) + chunk.values
