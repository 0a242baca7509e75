"""Moments at which to end a trainer: random ones, and in the middle of a write.

Where a write is to be hit, its traces are waited for: the folder of an unfinished checkpoint, the temporary file of a
JSON file, events that grow.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

from training.contract import checkpoints
from training.contract.run_directory import RunDirectory

IMPORTS = 7.0  # seconds until a trainer trains, about
STUCK = 600.0
JSON_FILES = (".config.json.", ".process.json.")
Moment = Callable[[RunDirectory, random.Random], str]
"""Waits until a run's trainer is to be killed; what it is in the middle of, as the counter has it."""


def _until(reached: Callable[[], bool], run: RunDirectory) -> bool:
    until = time.monotonic() + STUCK
    while not reached():
        if time.monotonic() > until or (run.process.exists() and not run.is_trainer_alive()):
            return False
        time.sleep(0.0002)
    return True


def at_random(run: RunDirectory, chance: random.Random) -> str:
    until = time.monotonic() + chance.uniform(0, 1.3 * IMPORTS)
    _until(lambda: time.monotonic() >= until, run)
    return ""


def in_a_checkpoint(run: RunDirectory, chance: random.Random) -> str:
    unfinished = run.checkpoints / checkpoints.UNFINISHED
    later, goes_on = chance.randint(0, 3), True
    while goes_on and (later >= 0 or not unfinished.exists()):
        goes_on = _until(lambda: not unfinished.exists(), run) and _until(unfinished.exists, run)
        if later <= 0:
            time.sleep(chance.uniform(0, 0.05))  # it is missed where the save was quicker: then the next one
        later -= 1
    return "checkpoint"


def in_a_json_file(run: RunDirectory, chance: random.Random) -> str:
    before, config = set(temporary(run)), run.config.stat().st_ino
    _until(lambda: bool(set(temporary(run)) - before) or run.config.stat().st_ino != config, run)  # or it was missed
    return "JSON file"


def in_an_event(run: RunDirectory, chance: random.Random) -> str:
    for _ in range(chance.randint(1, 30)):
        before = _size(run.events)
        _until(lambda: _size(run.events) > before, run)  # noqa: B023  it is asked at once
    return "event"


def temporary(run: RunDirectory) -> list[str]:
    try:
        return [name for name in os.listdir(run.path) if name.startswith(JSON_FILES)]  # noqa: PTH208  the quicker one
    except OSError:
        return []


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
