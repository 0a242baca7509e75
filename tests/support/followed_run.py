"""A run that is followed while its trainer writes events, falls silent or ends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from codex_tui.runs.follower import RunFollower
from support.config_file import write_config
from training.contract import events as ev
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory


def make_new_run(folder: Path) -> RunDirectory:
    """Make a run that was launched just now, and whose trainer has written nothing yet."""
    run = RunDirectory(folder / "zombie-1")
    run.create()
    write_config(run, {"created": time.time(), "profile": {}})
    return run


def end_process() -> ProcessIdentity:
    """Start a process, wait until it has ended, and return its identity."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return ProcessIdentity(child.pid, 1.0)


def make_training_events(last: int) -> list[ev.Event]:
    """The events of a first attempt that has trained `last` steps."""
    metrics = [ev.Metrics(step=step, loss=1.0) for step in range(1, last + 1)]
    return [ev.Started(attempt=1, pid=1), ev.Phase(name="training"), *metrics]


def follow_to_end(run: RunDirectory) -> RunFollower:
    """Poll until all events are read."""
    reader = RunFollower(run)
    for _ in range(5):
        reader.poll()
    assert reader.complete
    return reader
