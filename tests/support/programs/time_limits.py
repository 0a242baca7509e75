"""Trains a run whose clocks are made up: each step takes a given time, and nothing else takes any."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from training.contract.run_directory import RunDirectory
from training.finetune import checkpoints, clock, deadline, entry

SECONDS = 10.0  # of a step


class _Exit(Exception):
    """Carries the exit code of the trainer, whose process would end."""


def train(path: str, slow_step: str, stop_after: str) -> int:
    """Train the run at `path`. Both clocks stand at 0 before its first step. The step with the number `slow_step` takes
    100 times as long as the others. A stop request comes after the step with the number `stop_after`. For the number 0,
    there is no such step. Returns the exit code."""
    last = checkpoints.find_last_whole(RunDirectory(path).checkpoints)
    steps_done = checkpoints.parse_step(last) if last else 0
    on_step_end = deadline.Deadline.on_step_end

    def read_clock() -> float:
        return SECONDS * (steps_done + 99 * (0 < int(slow_step) <= steps_done))

    def count_step(self: Any, args: Any, state: Any, control: Any, **others: Any) -> None:
        nonlocal steps_done
        steps_done = state.global_step
        on_step_end(self, args, state, control, **others)
        if steps_done == int(stop_after):
            self._attempt.stop.level = "save"

    def exit_with(code: int) -> None:
        raise _Exit(code)

    clock.read_unix = clock.read_awake = read_clock
    deadline.Deadline.on_step_end = count_step  # type: ignore[method-assign]
    really_exit, os._exit = os._exit, exit_with  # type: ignore[assignment]
    try:
        return entry.train(Path(path))
    except _Exit as end:
        return int(end.args[0])
    finally:
        os._exit = really_exit
