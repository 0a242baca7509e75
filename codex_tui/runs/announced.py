"""Remembers what the person was told about a run. All viewers share this memory: the file `announced` of the run.

Each line is a key: the number of the attempt and a word, such as "1 done". "1 seen" means that a screen has shown how
this attempt ended.
"""

from __future__ import annotations

import fcntl
import os

from training.contract.files import open_to_append, read
from training.contract.run_directory import RunDirectory

MAX_BYTES = 1 << 20


def claim(run: RunDirectory, word: str, attempt: int | None = None) -> bool:
    """Note that the person is told `word` about an attempt, which is the last one if `attempt` is None.

    Returns True only for the first caller among all viewers, and False if the run directory can't be written.
    """
    key = _make_key(run, word) if attempt is None else f"{attempt} {word}"
    try:
        descriptor = open_to_append(run.announced)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if key in os.pread(descriptor, MAX_BYTES, 0).decode(errors="replace").splitlines():
            return False
        os.write(descriptor, f"{key}\n".encode())
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def has_seen_end(run: RunDirectory) -> bool:
    """Whether a screen has shown the end of the last attempt."""
    try:
        return _make_key(run, "seen") in read(run.announced).decode(errors="replace").splitlines()
    except OSError:
        return False


def _make_key(run: RunDirectory, word: str) -> str:
    process = run.read_process()
    return f"{process.attempt if process else 0} {word}"
