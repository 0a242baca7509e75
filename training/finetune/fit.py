"""Fits a run to the time that it has: decides after each step how many steps the run takes, and when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.dataset.time_limit import Durations, count_fitting_steps
from training.finetune import timing
from training.finetune.schedule import Schedule
from training.finetune.timing import Timing

KEY = "Fit"
"""The name of the fit in trainer_state.json. Other programs that resume the run ignore it."""
MIN_STEPS_TO_REFIT = 10  # before the first refit, so that a slow start changes nothing
FEW_STEPS = 40  # if no more steps than these are left, the run is fitted at once


class Fit:
    """The schedule of a run and the durations that it is fitted by.

    `evaluation_steps` is the number of steps that an evaluation is expected to take as long as, and
    `checkpoint_seconds` the expected time of a checkpoint, as long as neither is measured.
    """

    def __init__(self, schedule: Schedule, evaluation_steps: float = 0.0, checkpoint_seconds: float = 1.0) -> None:
        self.schedule, self.timing = schedule, Timing()
        self._evaluation_steps, self._checkpoint_seconds = evaluation_steps, checkpoint_seconds

    def refit(self, step: int, seconds: float, eval_steps: int = 0, save_steps: int = 0) -> bool:
        """Fit the schedule of a run that has taken `step` steps and has `seconds` left. Returns whether it changed.

        `eval_steps` and `save_steps` are the steps between two evaluations and two checkpoints, 0 if there are none.
        If no further step fits, the last step of the schedule is `step`.
        """
        schedule = self.schedule
        durations = self._estimate(step)
        if durations is None or step >= schedule.total:
            return False
        fitting = count_fitting_steps(
            seconds, durations, schedule.planned, done=step, eval_steps=eval_steps, save_steps=save_steps
        )
        measured = len(self.timing.steps)
        is_rough = measured < timing.MIN_MEASURED_STEPS and fitting > step
        is_early = is_rough or (measured < MIN_STEPS_TO_REFIT and fitting - step > FEW_STEPS)
        if is_early or not schedule.is_due(step, fitting):
            return False
        schedule.refit(step, fitting)
        return True

    def has_time_to_evaluate(self, step: int, seconds: float) -> bool:
        """Whether `seconds` are enough for the last evaluation and for saving after it."""
        durations = self._estimate(step)
        return durations is None or seconds >= durations.evaluation + 2 * durations.checkpoint

    def has_time_for_a_step(self, step: int, seconds: float) -> bool:
        """Whether a step and the end of the run after it fit into `seconds`, as far as that is known."""
        durations = self._estimate(step)
        return seconds > 0 and (durations is None or seconds >= durations.step + durations.end)

    def _estimate(self, step: int) -> Durations | None:
        return self.timing.estimate(
            max(0, self.schedule.total - step), self._evaluation_steps, self._checkpoint_seconds
        )

    def keep(self, stateful_callbacks: dict[str, Any]) -> None:
        """Keep the fit in the `stateful_callbacks` of trainer_state.json, of which every checkpoint has a copy."""
        attributes = {"schedule": self.schedule.to_builtins(), "timing": self.timing.to_builtins()}
        stateful_callbacks[KEY] = {"args": {}, "attributes": attributes}

    def restore(self, stateful_callbacks: Mapping[str, Any]) -> None:
        """Continue as the checkpoint says, unless it is of a run with other planned steps, or of an older trainer."""
        try:
            attributes = stateful_callbacks[KEY]["attributes"]
            schedule, timing = (
                Schedule.from_builtins(attributes["schedule"]),
                Timing.from_builtins(attributes["timing"]),
            )
        except (ValueError, TypeError, KeyError):
            return
        if (schedule.planned, schedule.warmup) == (self.schedule.planned, self.schedule.warmup):
            self.schedule, self.timing = schedule, timing

    @classmethod
    def from_checkpoint(cls, state: Mapping[str, Any]) -> Fit:
        """Return the fit that a checkpoint keeps. `state` is its trainer_state.json."""
        try:
            schedule = Schedule.from_builtins(state["stateful_callbacks"][KEY]["attributes"]["schedule"])
        except (ValueError, TypeError, KeyError):
            schedule = Schedule.plan(int(state.get("max_steps", 0)), 0)
        fit = cls(schedule)
        fit.restore(state.get("stateful_callbacks", {}))
        return fit
