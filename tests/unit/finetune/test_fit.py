"""A run is fitted to its time: simulated runs whose speed drifts, that stall, evaluate and save."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from support.fitted_runs import (
    CURVES,
    EVALUATION,
    PLANNED,
    STEP,
    WARMUP,
    fall_as_a_cosine,
    fall_linearly,
    largest_change,
    simulate,
    simulate_at_random,
)

from training.finetune.fit import KEY, Fit
from training.finetune.schedule import Schedule

RUNS = 40


@pytest.mark.parametrize("curve", CURVES)
def test_a_run_that_fits_is_the_planned_run_to_the_last_bit(curve: Callable[[float], float]) -> None:
    run = simulate(1.2 * PLANNED * STEP + 40 * EVALUATION, lambda _: STEP, curve)
    assert run.rates == [curve(step) for step in range(PLANNED)]
    assert run.totals == []


@pytest.mark.parametrize("curve", CURVES)
def test_a_run_that_does_not_fit_uses_its_time_and_passes_the_whole_curve(curve: Callable[[float], float]) -> None:
    run = simulate(1_000.0, lambda _: STEP, curve)
    assert len(run.rates) == run.totals[-1]
    assert 830 <= len(run.rates) <= 880  # 1,000 s less 8 evaluations, 4 checkpoints and the end
    assert 970 <= run.ended_at <= 1_000
    assert run.rates[WARMUP] == 1.0
    assert run.rates[-1] <= 0.002
    assert largest_change(run.rates) < 0.005


def test_random_runs_end_in_time_with_the_rate_at_its_end_and_without_a_jump() -> None:
    """`tests/benchmarks/fitted_runs.py` tries more of them."""
    wasted: list[float] = []
    for seed in range(RUNS):
        seconds, run = simulate_at_random(seed)
        assert run.saved_at <= seconds, seed
        assert run.rates[-1] < 0.07, seed
        assert largest_change(run.rates) < 0.08, seed
        wasted.append((seconds - run.ended_at) / seconds)
    assert sum(wasted) / RUNS < 0.06


def test_a_step_of_three_times_the_usual_at_the_end_is_in_time() -> None:
    for slow in range(825, 876, 3):
        run = simulate(1_000.0, lambda step, slow=slow: 3 * STEP if step == slow else STEP, fall_linearly)  # type: ignore[misc]
        assert run.saved_at <= 1_000


@pytest.mark.parametrize("slow_step", [1, 2, 3])
def test_a_slow_step_at_the_start_does_not_end_the_run(slow_step: int) -> None:
    """On a GPU the first step compiles kernels, and takes many times the usual one."""
    run = simulate(400.0, lambda step: 60.0 if step == slow_step else STEP, fall_linearly)
    assert len(run.rates) > 250
    assert run.rates[-1] < 0.02


def test_a_run_that_slept_past_its_deadline_ends_with_the_step_that_it_was_in() -> None:
    run = simulate(1_000.0, lambda step: 7_200.0 if step == 300 else STEP, fall_linearly)
    assert len(run.rates) == 300


def test_after_a_sleep_the_rate_falls_faster_but_does_not_jump() -> None:
    run = simulate(1_000.0, lambda step: 400.0 if step == 300 else STEP, fall_linearly)
    assert 440 <= len(run.rates) <= 520
    assert largest_change(run.rates) < 0.01
    assert run.rates[-1] < 0.01


def test_a_run_that_becomes_faster_takes_more_steps() -> None:
    run = simulate(1_000.0, lambda step: STEP if step < 200 else STEP / 2, fall_linearly, eval_steps=10_000)
    assert len(run.rates) > 1_500
    assert run.ended_at > 950
    assert run.rates[-1] < 0.01


def test_a_run_shorter_than_its_warmup_rises_to_its_half_and_falls() -> None:
    schedule = Schedule.plan(1_000, 100)

    def curve(step: float) -> float:
        return step / 100 if step < 100 else (1_000 - step) / 900

    schedule.refit(12, 60)
    rates = [schedule.scale(step, curve) for step in range(61)]
    assert rates[:31] == [step / 100 for step in range(31)]
    assert max(rates) == 0.3
    assert rates[60] == pytest.approx(0)
    assert max(abs(b - a) for a, b in pairwise(rates)) <= 0.0101
    schedule.refit(20, 1_000)  # all steps fit again: the planned rates, bit for bit
    assert [schedule.scale(step, curve) for step in range(1_000)] == [curve(step) for step in range(1_000)]


def test_a_constant_rate_stays_constant() -> None:
    schedule = Schedule.plan(1_000, 0)
    schedule.refit(12, 60)
    assert {schedule.scale(step, lambda _: 1.0) for step in range(61)} == {1.0}


def test_a_resume_continues_the_fitted_run() -> None:
    """What the checkpoint keeps passes through JSON."""
    whole = Fit(Schedule.plan(PLANNED, WARMUP))
    kept: dict[str, Any] = {}
    rates = []
    for step in range(1, 301):
        whole.timing.add_step(STEP + 0.1 * math.sin(step))
        whole.refit(step, 500.0 - step, 100, 200)
        rates.append(whole.schedule.scale(step, fall_as_a_cosine))
        if step == 150:
            whole.keep(kept)
            kept = json.loads(json.dumps(kept))
    resumed = Fit(Schedule.plan(PLANNED, WARMUP))
    resumed.restore(kept)
    resumed.timing.add_step(30.0)  # the first step of an attempt is slow, and does not count
    for step in range(151, 301):
        resumed.timing.add_step(STEP + 0.1 * math.sin(step))
        resumed.refit(step, 500.0 - step, 100, 200)
        assert resumed.schedule.scale(step, fall_as_a_cosine) == rates[step - 1]
    assert resumed.schedule.total == whole.schedule.total < PLANNED


@pytest.mark.parametrize(
    "damaged", [{}, {"schedule": 3, "timing": {}}, {"schedule": {"planned": 7, "warmup": 1, "total": 7}, "timing": {}}]
)
def test_a_damaged_or_foreign_schedule_is_ignored(damaged: dict[str, object]) -> None:
    fit = Fit(Schedule.plan(PLANNED, WARMUP))
    fit.restore({KEY: {"attributes": damaged}})
    assert fit.schedule == Schedule.plan(PLANNED, WARMUP)


def test_a_lifted_limit_brings_the_planned_steps_back() -> None:
    fit = Fit(Schedule.plan(PLANNED, WARMUP))
    for step in range(1, 21):
        fit.timing.add_step(STEP)
        fit.refit(step, 500.0 - step)
    before = fit.schedule.scale(21, fall_linearly)
    assert fit.schedule.total < 500
    assert fit.refit(21, math.inf)
    assert fit.schedule.total == PLANNED
    rates = [fit.schedule.scale(step, fall_linearly) for step in range(21, PLANNED + 1)]
    assert rates[0] == pytest.approx(before)
    assert rates[-1] == 0
    assert rates == sorted(rates, reverse=True)


def test_before_the_first_step_nothing_is_known() -> None:
    fit = Fit(Schedule.plan(PLANNED, WARMUP))
    assert not fit.refit(0, 1.0)
    assert fit.has_time_for_a_step(0, 1.0)
    assert not fit.has_time_for_a_step(0, 0.0)
    fit.timing.add_step(100.0)
    assert not fit.has_time_for_a_step(1, 250.0)
    assert fit.refit(1, 250.0)
    assert fit.schedule.total == 1
