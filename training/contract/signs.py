"""Signs of life for other machines that share the folder of the runs: they can't be asked for a process, but they see
when a file of it was last changed."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from training.contract.process import ProcessIdentity

SIGN_SECONDS = 20.0  # between two signs of a keeper; a trainer writes a heartbeat every 5 seconds
SILENT_SECONDS = 60.0
"""A process of another machine counts as gone after this time without a sign."""

_files: set[Path] = set()  # that this process touches, all from one thread
_changing = threading.Lock()


def keep_fresh(path: Path) -> None:
    """Touch the file at `path` now and then, until it is deleted or this process ends."""
    with _changing:
        if not _files:
            threading.Thread(target=_touch_files, name="signs", daemon=True).start()
        _files.add(path)


def _touch_files() -> None:
    while True:
        time.sleep(SIGN_SECONDS)
        with _changing:
            for path in list(_files):
                try:
                    os.utime(path)
                except OSError:  # it was deleted
                    _files.remove(path)
            if not _files:
                return


def lives(process: ProcessIdentity, *files: Path) -> bool:
    """Whether `process` lives. One of another machine lives as long as one of its `files` is fresh."""
    return any(map(_is_fresh, files)) if process.is_elsewhere() else process.is_alive()


def _is_fresh(path: Path) -> bool:
    """Whether the file at `path` was changed a moment ago. The clocks of two machines may differ a little."""
    try:
        return abs(time.time() - path.stat().st_mtime) < SILENT_SECONDS
    except OSError:
        return False
