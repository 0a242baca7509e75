"""The time limit of a run: the deadline in its config.json, and the hours of its profile. The earlier one rules."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from training.contract.run_directory import RunDirectory
from training.finetune import clock
from training.history.worked import count_worked_seconds
from training.job.job import Job

HOUR = 3600.0


@dataclass(frozen=True)
class TimeLimit:
    """`until` is a time in Unix seconds, `awake_until` a reading of the clock that stands while the machine sleeps.
    Infinite: there is no such limit."""

    until: float = math.inf
    awake_until: float = math.inf

    @classmethod
    def read(cls, job: Job, run: RunDirectory) -> TimeLimit:
        """Read the limit of the attempt that begins now."""
        until = math.inf if job.config.until is None else job.config.until
        hours = job.profile.training.max_hours
        if hours is None:
            return cls(until)
        return cls(until, clock.read_awake() + hours * HOUR - count_worked_seconds(run.events))

    def compute_seconds_left(self) -> float:
        return min(self.until - clock.read_unix(), self.awake_until - clock.read_awake())

    @property
    def is_set(self) -> bool:
        return math.isfinite(self.until) or math.isfinite(self.awake_until)

    def describe(self) -> str:
        """Name the limit that rules, as the subject of a sentence."""
        if self.until - clock.read_unix() <= self.awake_until - clock.read_awake():
            return f"The deadline, {time.strftime('%Y-%m-%d %H:%M', time.localtime(self.until))},"
        return "The limit training.max_hours"
