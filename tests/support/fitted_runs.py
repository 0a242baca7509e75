"""Simulated runs with a time limit: the trainer's own fit, with made-up durations."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from training.finetune.fit import Fit
from training.finetune.schedule import Schedule

PLANNED, WARMUP = 4_000, 10
STEP, EVALUATION, CHECKPOINT = 1.0, 12.0, 2.0


def fall_linearly(step: float) -> float:
    return step / WARMUP if step < WARMUP else (PLANNED - step) / (PLANNED - WARMUP)


def fall_as_a_cosine(step: float) -> float:
    return step / WARMUP if step < WARMUP else 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (PLANNED - WARMUP)))


CURVES = [fall_linearly, fall_as_a_cosine]


@dataclass
class Run:
    """A simulated run: the factor of the learning rate of each step, and the seconds at which things happened."""

    rates: list[float] = field(default_factory=list)
    totals: list[int] = field(default_factory=list)
    saved_at: float = 0.0
    ended_at: float = 0.0


def simulate(
    seconds: float, take_step: Callable[[int], float], curve: Callable[[float], float], eval_steps: int = 100
) -> Run:
    """Run as the trainer does, for at most `seconds`. `take_step` returns the duration of the step with a number."""
    run, now = Run(), 0.0
    fit = Fit(Schedule.plan(PLANNED, WARMUP), evaluation_steps=8.0)
    for step in range(1, PLANNED + 1):
        run.rates.append(fit.schedule.scale(step - 1, curve))
        now += (took := take_step(step))
        fit.timing.add_step(took)
        if fit.refit(step, seconds - now, eval_steps, 200):
            run.totals.append(fit.schedule.total)
        if step >= fit.schedule.total:
            run.saved_at = now + CHECKPOINT
            run.ended_at = run.saved_at + EVALUATION * fit.has_time_to_evaluate(step, seconds - now) + 2 * CHECKPOINT
            break
        if step % eval_steps == 0:
            now += EVALUATION
            fit.timing.add_evaluation(EVALUATION)
        if step % 200 == 0:
            now += CHECKPOINT
            fit.timing.add_checkpoint(CHECKPOINT)
    return run


def largest_change(rates: list[float]) -> float:
    return max((abs(later - earlier) for earlier, later in pairwise(rates[WARMUP:])), default=0.0)


def simulate_at_random(seed: int) -> tuple[float, Run]:
    """Simulate a run whose speed drifts from half to twice the usual one. Its steps vary, and one in 300 stalls.
    Returns its seconds, and the run."""
    dice = random.Random(seed)
    drift, period, phase = dice.uniform(1, 2), dice.uniform(150, 1_500), dice.uniform(0, math.tau)

    def take_step(step: int) -> float:
        speed = drift ** math.sin(phase + step * math.tau / period)
        stall = dice.uniform(2, 15) if dice.random() < 1 / 300 else 1.0
        return STEP / speed * dice.lognormvariate(0, 0.3) * stall

    seconds = dice.uniform(200, 2_500)
    return seconds, simulate(seconds, take_step, CURVES[seed % 2])
