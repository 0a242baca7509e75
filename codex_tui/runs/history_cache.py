"""Caches the state of a long run on the disk, so that all its events need not be read again.

A cached history is used only if its events file is unchanged (same device, inode, size and modification time) and if
the version of the app and the format are the same. All others are ignored. The folder can be deleted at any time.
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

FORMAT = 5
"""Increase this when a field of `RunState`, `Series` or `History` changes, so that older histories are ignored."""
MAX_HISTORIES = 8  # one with a million logged steps has about 40 MB


class History(msgspec.Struct):
    """`state` and `damaged_lines` come from the first `offset` bytes of the events file."""

    version: str
    source: tuple[int, int, int, int]
    offset: int
    damaged_lines: int
    state: RunState


def load_history(events: Path) -> History | None:
    """Load the cached history of the file `events`. Returns None if there is none for the file as it is now."""
    try:
        history = msgspec.msgpack.decode(_cache_path(events).read_bytes(), type=History, dec_hook=_decode)
        return history if history.version == _format_version() and history.source == _identify(events) else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def save_history(events: Path, offset: int, state: RunState, damaged_lines: int) -> None:
    """Write this history to the cache and delete the oldest ones. Does nothing if the cache can't be written."""
    path = _cache_path(events)
    with suppress(OSError):
        history = History(_format_version(), _identify(events), offset, damaged_lines, state)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        data = msgspec.msgpack.encode(history, enc_hook=_encode)
        files.write_atomically(path, data, sync=False)  # waiting for the disk would block the screen
        files.delete_oldest(path.parent, "[0-9a-f]*", MAX_HISTORIES)


def _cache_path(events: Path) -> Path:
    return cache_home() / "histories" / hashlib.sha256(os.fsencode(events.absolute())).hexdigest()[:32]


def _format_version() -> str:
    return f"{__version__} format {FORMAT}"


def _identify(events: Path) -> tuple[int, int, int, int]:
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
