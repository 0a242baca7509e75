"""Runs that a real keeper keeps, with a trainer that only logs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.config_file import write_config
from training.contract.run_directory import RunDirectory


def make_run(folder: Path, **values: Any) -> RunDirectory:
    """Make a run that a keeper can begin. `values` are those of its config.json."""
    run = RunDirectory(folder)
    run.create()
    write_config(run, {"version": 1, "profile": {}, "dataset": "demo:zombie_waves"} | values)
    run.log.touch()
    return run


def until(reached: Callable[[], object], pause: float = 0.01) -> None:
    while not reached():  # pytest-timeout ends a wait in vain
        time.sleep(pause)


@contextmanager
def keep(run: RunDirectory, *command: str | Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start the keeper of `run`, which is `command`. Ends it at the end, if it lives."""
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                run.request_stop("terminate")
            process.wait()
