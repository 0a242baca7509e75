"""Signs of life for other machines that share the folder of the runs: they can't be asked for a process, but they see
when a file of it was last changed."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from training.contract.process import ProcessIdentity
from training.contract.run_directory import SIGN_SECONDS, SILENT_SECONDS


def keep_fresh(path: Path) -> None:
    """Touch the file at `path` now and then, until it is deleted or this process ends."""
    threading.Thread(target=_touch, args=(path,), name="signs", daemon=True).start()


def _touch(path: Path) -> None:
    with suppress(OSError):  # the file is gone
        while True:
            time.sleep(SIGN_SECONDS)
            os.utime(path)


def lives(process: ProcessIdentity, file: Path) -> bool:
    """Whether `process` lives. One of another machine lives as long as it touches `file`; the clocks of two machines
    may differ a little."""
    if not process.is_elsewhere():
        return process.is_alive()
    try:
        return abs(time.time() - file.stat().st_mtime) < SILENT_SECONDS
    except OSError:
        return False
