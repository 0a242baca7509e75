"""Forecasts how many steps of a run fit into its time limit, from the speed of the last run or from an estimate."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import sqrt
from typing import Any

from codex_tui.base.deadline import format_deadline
from codex_tui.runs.time_left import FORWARD_SHARE
from training.contract.profile import Profile
from training.dataset.split import Steps, choose_eval_steps, choose_save_steps
from training.dataset.time_limit import Durations, count_fitting_steps
from training.memory.speed import Speed

LOADING_SECONDS = 60.0  # from the launch to the first step, about
SAVING_SECONDS = 3.0  # of a checkpoint or an adapter, about
MEASURED_SPREAD = 0.1  # a run may be slower and faster than the last one by this share
FEW_STEPS = 10  # a run of fewer steps is not worth its start


@dataclass(frozen=True)
class TimeFit:
    """About `steps` of the `planned` steps fit until `deadline`, in Unix seconds: at least `fewest`, at most `most`.
    `measured` says that the speed is that of the last run here."""

    planned: int
    steps: int
    fewest: int
    most: int
    deadline: float
    measured: bool

    def describe(self, now: float | None = None) -> str:
        """Say in a sentence what fits. `now` is the time from which a deadline within a day needs no date."""
        until = f"until {format_deadline(self.deadline, now)}"
        if self.fewest >= self.planned:
            return f"All {self.planned:,} steps fit {until}."
        share = 100 * self.steps / max(1, self.planned)
        if self.steps >= self.planned:
            return f"All {self.planned:,} steps probably fit {until}; at least {self.fewest:,}."
        if self.steps < 1:
            return f"No step fits {until}: the model must be loaded, and the adapter saved."
        only = "Only about" if self.is_short else "About"
        about = f"{only} {self.steps:,} of {self.planned:,} steps ({share:.0f} % of the rows) fit {until}"
        return f"{about}; from {self.fewest:,} to {self.most:,}."

    @property
    def is_short(self) -> bool:
        """Whether so few steps fit that the run is hardly worth its start."""
        return self.steps < min(FEW_STEPS, self.planned)

    def as_json(self) -> dict[str, Any]:
        steps = {"about": self.steps, "low": self.fewest, "high": self.most}
        return {"steps": steps, "planned_steps": self.planned, "deadline": round(self.deadline, 3)}


def find_deadline(profile: Profile, until: float | None, now: float | None = None) -> float | None:
    """Return the time at which a run of `profile` that starts now must end: the earlier one of `until` and of the
    profile's hours. None if it has no limit."""
    now = time.time() if now is None else now
    hours = profile.training.max_hours
    limits = [limit for limit in (until, None if hours is None else now + 3600 * hours) if limit is not None]
    return min(limits, default=None)


def forecast_time_fit(
    profile: Profile,
    steps: Steps,
    tokens: float,
    speed: Speed,
    deadline: float,
    *,
    eval_share: float = 0.0,
    loading: float | None = None,
    now: float | None = None,
) -> TimeFit:
    """Forecast what fits until `deadline` of a run of `profile` that starts now. It would train on `tokens` tokens in
    `steps`. `eval_share` is the number of evaluation rows for each training row, `loading` the seconds to the first
    step if they are known."""
    seconds = deadline - (time.time() if now is None else now) - (LOADING_SECONDS if loading is None else loading)
    slow, usual, fast = speed.slow, sqrt(speed.slow * speed.fast), speed.fast
    if speed.measured:
        slow, fast = (1 - MEASURED_SPREAD) * usual, (1 + MEASURED_SPREAD) * usual
    fewest, about, most = (
        _count(profile, steps, tokens / max(1, steps.total) / rate, seconds, eval_share * steps.per_epoch)
        for rate in (slow, usual, fast)
    )
    return TimeFit(steps.total, about, fewest, most, deadline, speed.measured)


def _count(profile: Profile, steps: Steps, step: float, seconds: float, eval_steps_long: float) -> int:
    """Count the steps that fit if one takes `step` seconds, and an evaluation as long as the forward passes of
    `eval_steps_long` steps. The end has room for a slow step, as in the trainer."""
    evaluation = FORWARD_SHARE * eval_steps_long * step
    durations = Durations(step, evaluation, SAVING_SECONDS, evaluation + 3 * SAVING_SECONDS + 2 * step)
    fitting = steps.total
    for _ in range(2):  # fewer steps have their evaluations at other places
        places = [choose(profile, max(1, fitting)) for choose in (choose_eval_steps, choose_save_steps)]
        fitting = count_fitting_steps(seconds, durations, steps.total, eval_steps=places[0], save_steps=places[1])
    return fitting
