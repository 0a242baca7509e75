"""The lock by which only one keeper keeps a run."""

from __future__ import annotations

import fcntl
import os

from training.contract import files
from training.contract.run_directory import RunDirectory


def lock_run(run: RunDirectory) -> int | None:
    """Lock the run until this process ends. Returns None if another process keeps or trains it. Raises OSError."""
    keeper, trainer = files.open_to_append(run.keeper_lock), files.open_to_append(run.lock)
    try:
        for lock in (keeper, trainer):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(keeper)
        return None
    finally:
        os.close(trainer)  # the trainer itself takes this one
    return keeper
