"""Kills a trainer that logs, its parent that records the history, or both, and compares the history with the events."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import psutil

from codex_tui.runs import follower
from codex_tui.runs.follower import RunFollower
from support.programs import PROGRAMS
from training.contract.run_directory import RunDirectory

STEPS = 4000  # of one attempt, more than it logs before it is killed
KILLED = ("parent", "trainer", "both")


def start_attempt(run: RunDirectory, steps: int = STEPS) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, PROGRAMS / "logging_trainer.py", run.path, str(steps)])


def kill_attempt(run: RunDirectory, rng: random.Random) -> str:
    """Start an attempt and kill one or both of its processes at a random time. Returns what was killed."""
    size = run.events.stat().st_size if run.events.exists() else 0
    parent = start_attempt(run)
    while parent.poll() is None and (not run.events.exists() or run.events.stat().st_size == size):
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.1))
    trainers = [child.pid for child in psutil.Process(parent.pid).children()] if parent.poll() is None else []
    killed = rng.choice(KILLED)
    for pid in {"parent": [parent.pid], "trainer": trainers, "both": [parent.pid, *trainers]}[killed]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    parent.wait()
    for pid in trainers:  # an orphan ends by itself
        with suppress(psutil.Error):
            while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.002)
    return killed


def read_values(run: RunDirectory) -> dict[str, object]:
    """All values of the state of `run` as a viewer shows it, in a form in which NaN equals NaN."""
    with patch.object(follower, "PREVIEW_FROM", 1):
        reader = RunFollower(run)
        while not reader.complete:
            reader.poll()
    state = reader.watched.state
    assert state.losses.smooth is not None  # makes the smoothed curve and the summaries
    shown = {name: repr(value) for name, value in vars(state.losses).items() if name != "kept"}
    return {**vars(state), "losses": shown, "damaged_lines": reader.watched.damaged_lines}


def find_difference(run: RunDirectory) -> str:
    """Compare what a viewer shows with the history and without it. Returns the names of all values that differ."""
    shown = read_values(run)
    away = run.path / "history-away"
    with suppress(FileNotFoundError):
        run.history.rename(away)
    truth = read_values(run)
    with suppress(FileNotFoundError):
        away.rename(run.history)
    return ", ".join(name for name in truth if shown[name] != truth[name])


def tear(path: Path, rng: random.Random) -> None:
    """Cut the last bytes off, as a power failure may."""
    if path.exists() and path.stat().st_size:
        os.truncate(path, rng.randrange(path.stat().st_size))
