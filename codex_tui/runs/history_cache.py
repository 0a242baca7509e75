"""Keeps the state of a long history on the disk, so that the next look need not read it again.

A kept history is used only for the very file it was read from (the same device, inode, size and modification time), by
the same version of the app and in the same format. All others are ignored. The folder can be deleted at any time.
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
from training.contract import files

FORMAT = 2
"""Increase this when a field of `RunState`, `Series` or `History` changes: an older history would be read wrongly."""
MAX_HISTORIES = 8  # a million logged steps take some 40 MB


class History(msgspec.Struct):
    """`state` and `damaged_lines` come from the first `offset` bytes of the file."""

    version: str
    source: tuple[int, int, int, int]
    offset: int
    damaged_lines: int
    state: RunState


def load_history(events: Path) -> History | None:
    """Load the kept history of the file `events` as it is now. None if there is none."""
    try:
        history = msgspec.msgpack.decode(_place(events).read_bytes(), type=History, dec_hook=_decode)
        return history if history.version == _version() and history.source == _source(events) else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def save_history(events: Path, offset: int, state: RunState, damaged_lines: int) -> None:
    """Keep this history and the newest others. Does nothing if the cache can't be written."""
    place = _place(events)
    with suppress(OSError):
        history = History(_version(), _source(events), offset, damaged_lines, state)
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = msgspec.msgpack.encode(history, enc_hook=_encode)
        files.write_atomically(place, data, sync=False)  # to wait for the disk would hold up the screen
        files.delete_oldest(place.parent, "[0-9a-f]*", MAX_HISTORIES)


def _place(events: Path) -> Path:
    return cache_home() / "histories" / hashlib.sha256(os.fsencode(events.absolute())).hexdigest()[:32]


def _version() -> str:
    return f"{__version__} format {FORMAT}"


def _source(events: Path) -> tuple[int, int, int, int]:
    status = events.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _encode(value: Any) -> Any:
    if isinstance(value, Series):
        return {name: column.tobytes() if isinstance(column, array) else column for name, column in vars(value).items()}
    if isinstance(value, deque):
        return list(value)
    raise NotImplementedError(type(value))


def _decode(kind: Any, value: Any) -> Any:
    if kind is Series:
        series = Series()
        for name, column in vars(series).items():
            if isinstance(column, array):
                column.frombytes(value[name])
            else:
                setattr(series, name, value[name])
        return series
    return deque(msgspec.convert(value, list[ev.Gpu]), maxlen=RunState().gpu_history.maxlen)
