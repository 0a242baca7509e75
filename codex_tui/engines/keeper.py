"""What an engine gives to each keeper that it starts from this machine: a command, an environment and a log heading."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from codex_tui.base import locations
from codex_tui.runs.tell_command import make_tell_command
from codex_tui.workers.process import trainer_environment
from training.contract import tell, trackers
from training.contract.files import open_to_append
from training.contract.run_directory import RunDirectory


def make_keeper_command(run: RunDirectory, python: Path) -> list[str]:
    return [str(python), "-m", "training", str(run.path)]


def make_keeper_environ() -> dict[str, str]:
    return trainer_environment() | {
        tell.VARIABLE: make_tell_command(),
        trackers.VARIABLE: str(locations.data_home() / "trackers"),
    }


def write_heading(run: RunDirectory, attempt: int) -> None:
    """Write into the log of `run` that `attempt` begins. The first one needs no heading."""
    if attempt == 1:
        return
    descriptor = open_to_append(run.log)
    try:
        with suppress(OSError):  # a full disk: the trainer itself reports that
            os.write(descriptor, f"\n── attempt {attempt} ──\n".encode())
    finally:
        os.close(descriptor)
