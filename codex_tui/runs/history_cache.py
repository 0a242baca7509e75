"""What a long history came to, kept so that the next look need not read it again. Safe to delete at any time.

A kept state counts only for the very file it was read from: device, inode, size and modification time must be the same,
and so must the app's version. Whatever does not fit or can't be read is as good as not there.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from codex_tui import __version__
from codex_tui.base.locations import cache_home
from codex_tui.runs.series import Series
from codex_tui.runs.state import RunState
from training.contract import events as ev

MOST_KEPT = 8  # of some 40 MB for a million logged steps


class Kept(msgspec.Struct):
    """`offset` is the byte of the file up to which `state` was read."""

    version: str
    source: tuple[int, int, int, int]
    offset: int
    state: RunState


def load(events: Path) -> Kept | None:
    """What was kept of `events` as the file is now, or None."""
    try:
        kept = msgspec.msgpack.decode(_place(events).read_bytes(), type=Kept, dec_hook=_decoded)
        return kept if kept.version == __version__ and kept.source == _source(events) else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def save(events: Path, offset: int, state: RunState) -> None:
    """Keeps `state`, and of all that is kept the newest few. A cache that can't be written is no reason to complain."""
    place = _place(events)
    temporary = place.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        kept = Kept(__version__, _source(events), offset, state)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            temporary.write_bytes(msgspec.msgpack.encode(kept, enc_hook=_encoded))
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
        newest_first = sorted(place.parent.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for old in newest_first[MOST_KEPT:]:
            old.unlink(missing_ok=True)


def _place(events: Path) -> Path:
    return cache_home() / "histories" / hashlib.sha256(os.fsencode(events.absolute())).hexdigest()[:32]


def _source(events: Path) -> tuple[int, int, int, int]:
    status = events.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _encoded(value: Any) -> Any:
    if isinstance(value, Series):
        return {name: column.tobytes() if isinstance(column, array) else column for name, column in vars(value).items()}
    if isinstance(value, deque):
        return list(value)
    raise NotImplementedError(type(value))


def _decoded(kind: Any, value: Any) -> Any:
    if kind is Series:
        series = Series()
        for name, column in vars(series).items():
            if isinstance(column, array):
                column.frombytes(value[name])
            else:
                setattr(series, name, value[name])
        return series
    return deque(msgspec.convert(value, list[ev.Gpu]), maxlen=RunState().gpu_history.maxlen)
