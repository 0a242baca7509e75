"""Measures the parts of a run: steps, evaluations, checkpoints. A time limit fits the run by them."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean, median
from typing import Any

import msgspec

from training.dataset.time_limit import Durations

MAX_KEPT_STEPS = 200  # the steps that the speed is computed from; fewer near the end, where a drift must show at once
MIN_KEPT_STEPS = 10
MIN_MEASURED_STEPS = 3  # besides the first one. With fewer, the usual step is not known
MAX_KEPT_OTHERS = 5  # evaluations, checkpoints
INTERRUPTED = 5.0  # a step counts as at most this many times the median: a suspended laptop is no slow one
MIN_MARGIN_SECONDS = 2.0
UNUSUAL = 3.0  # the last step may take this many times the usual one, and the adapter is saved in time all the same


class Timing(msgspec.Struct):
    """The seconds that the last parts took. `first_step` is the first step of the attempt, which is slower: it counts
    only as long as there is no other."""

    steps: list[float] = []
    evaluations: list[float] = []
    checkpoints: list[float] = []
    first_step: float | None = None

    def add_step(self, seconds: float) -> None:
        if self.first_step is None:
            self.first_step = seconds
        else:
            _append(self.steps, seconds, MAX_KEPT_STEPS)

    def add_evaluation(self, seconds: float) -> None:
        _append(self.evaluations, seconds, MAX_KEPT_OTHERS)

    def add_checkpoint(self, seconds: float) -> None:
        _append(self.checkpoints, seconds, MAX_KEPT_OTHERS)

    def estimate(self, remaining: int, evaluation_steps: float, checkpoint_seconds: float) -> Durations | None:
        """Estimate the parts of a run with `remaining` steps left. Returns None before the first step.

        Before the first evaluation, it is expected to take as long as `evaluation_steps` steps, and a checkpoint
        `checkpoint_seconds`. The end has room for an evaluation, a checkpoint, the adapter (saved before the evaluation
        and again after it), and a last step that takes much longer than usual.
        """
        if len(self.steps) < MIN_MEASURED_STEPS:
            return self._estimate_at_start(checkpoint_seconds)
        recent = self.steps[-max(MIN_KEPT_STEPS, remaining // 2) :]
        limit = INTERRUPTED * median(recent)
        step = fmean(min(seconds, limit) for seconds in recent)
        longest = min(max(self.steps), limit)
        evaluation = max(self.evaluations) if self.evaluations else evaluation_steps * step
        checkpoint = max(self.checkpoints) if self.checkpoints else checkpoint_seconds
        margin = max(longest - step, (UNUSUAL - 1) * step, MIN_MARGIN_SECONDS)
        return Durations(step, evaluation, checkpoint, evaluation + 3 * checkpoint + margin)

    def _estimate_at_start(self, checkpoint: float) -> Durations | None:
        """Estimate by the fastest step so far: the others may have compiled kernels or waited for the disk. There is no
        time for an evaluation then, because its estimate would be as wrong; at the end it is left out if need be."""
        measured = [*self.steps, *([self.first_step] if self.first_step is not None else [])]
        if not measured:
            return None
        step = min(measured)
        return Durations(step, 0.0, checkpoint, 3 * checkpoint + max((UNUSUAL - 1) * step, MIN_MARGIN_SECONDS))

    def to_builtins(self) -> dict[str, Any]:
        """Return the values that the checkpoint keeps. The next attempt has a first step of its own."""
        return {"steps": [*self.steps], "evaluations": [*self.evaluations], "checkpoints": [*self.checkpoints]}

    @classmethod
    def from_builtins(cls, values: Mapping[str, Any]) -> Timing:
        """Raises ValueError."""
        return msgspec.convert(dict(values), cls)


def _append(values: list[float], value: float, limit: int) -> None:
    values.append(value)
    del values[:-limit]
