"""Kill points: the points of a run at which its trainer is killed. Some are random, some are in the middle of a write.

A kill point in a write waits for the traces of that write: the folder of an unfinished checkpoint, the temporary file
of a JSON file, events that grow.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from training.contract import checkpoints
from training.contract.run_directory import RunDirectory

STARTUP_SECONDS = 7.0  # until a trainer trains, about
PATIENCE = 600.0  # seconds; only a test that fails waits that long
JSON_FILES = (".config.json.", ".process.json.")
KillPoint = Callable[[RunDirectory, random.Random], str]
"""Waits until it is time to kill a run's trainer, and returns what the trainer writes then: a key of
`Tally.during_write`, or "" for nothing."""


def at_random(run: RunDirectory, rng: random.Random) -> str:
    end = time.monotonic() + rng.uniform(0, 1.3 * STARTUP_SECONDS)
    _wait_until(lambda: time.monotonic() >= end, run)
    return ""


def during_checkpoint(run: RunDirectory, rng: random.Random) -> str:
    """Pauses the trainer in the middle of one of the next four saves, so that the kill cannot come too late."""
    skipped = rng.randint(0, 3)
    unfinished = run.checkpoints / checkpoints.UNFINISHED
    while _wait_until(lambda: not unfinished.exists(), run) and _wait_until(unfinished.exists, run):
        if skipped <= 0:
            time.sleep(rng.uniform(0, 0.05))
            _signal_trainer(run, signal.SIGSTOP)
            if unfinished.exists():
                break
            _signal_trainer(run, signal.SIGCONT)  # the save was quicker: take the next one
        skipped -= 1
    return "checkpoint"


def during_json_file(run: RunDirectory, rng: random.Random) -> str:
    """A small file is written so quickly that this is often just after the write."""
    before, config = set(temporary_files(run)), run.config.stat().st_ino
    _wait_until(lambda: bool(set(temporary_files(run)) - before) or run.config.stat().st_ino != config, run)
    return "JSON file"


def during_event(run: RunDirectory, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 30)):
        before = _size(run.events)
        _wait_until(lambda: _size(run.events) > before, run)  # noqa: B023  it is called at once
    return "event"


def temporary_files(run: RunDirectory) -> list[str]:
    try:
        return [name for name in os.listdir(run.path) if name.startswith(JSON_FILES)]  # noqa: PTH208  it is quicker
    except OSError:
        return []


def _wait_until(reached: Callable[[], bool], run: RunDirectory) -> bool:
    """False if the trainer ended first."""
    end = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > end or (run.process.exists() and not run.is_trainer_alive()):
            return False
        time.sleep(0.0002)
    return True


def _signal_trainer(run: RunDirectory, number: signal.Signals) -> None:
    if (identity := run.read_process()) and identity.is_alive():
        with suppress(ProcessLookupError):
            os.kill(identity.pid, number)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
