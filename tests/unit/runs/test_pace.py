"""The speed of a run, and with it its time left, whatever interrupts its steps."""

from __future__ import annotations

import pytest
from support.clocked_run import Clock, evaluate

from codex_tui.runs.pace import average_uninterrupted, describe_late_step, estimate_tokens_per_second
from codex_tui.runs.time_left import estimate_time_left
from training.contract import events as ev
from training.history.state import RunState


def test_interruptions_are_left_out_and_slow_steps_are_not() -> None:
    assert average_uninterrupted([1, 2, 3]) == 2
    assert average_uninterrupted([1, 2, 3, 600]) == 2
    assert average_uninterrupted([600, 1]) == 1
    assert average_uninterrupted([0, 0]) == 0
    assert average_uninterrupted([]) is None
    assert average_uninterrupted([float("nan"), float("inf"), -1.0]) is None  # from a damaged file


def test_the_time_left_is_that_of_the_remaining_steps() -> None:
    run = Clock()
    run.steps(1, 1, seconds=30)  # the first one loads kernels
    assert (run.left, run.speed) == (None, 1.0)
    run.steps(2, 20)
    assert (run.left, run.speed) == (160, 50)
    assert estimate_time_left(RunState()) is None
    assert estimate_tokens_per_second(RunState()) is None


def test_a_suspended_process_changes_neither_the_time_left_nor_the_speed() -> None:
    run = Clock()
    run.steps(1, 20)
    run.after(3600)
    run.steps(21, 22)
    assert (run.left, run.speed) == (156, 50)


def test_a_cooling_pause_changes_neither() -> None:
    run = Clock()
    run.steps(1, 20)
    run.after(0, ev.Phase(name="saving"))
    for _ in range(60):
        run.after(1, ev.Phase(name="cooling"))
    run.after(0, ev.Phase(name="training"))
    run.steps(21, 21)
    assert (run.left, run.speed) == (158, 50)
    assert run.state.losses.times[-1] == 42


def test_answers_to_a_chat_change_neither() -> None:
    run = Clock()
    run.steps(1, 20)
    run.after(0, ev.Phase(name="answering"))
    run.after(60, ev.Phase(name="training"))
    assert run.state.status == "training"
    run.steps(21, 21)
    assert (run.left, run.speed) == (158, 50)
    assert run.state.losses.times[-1] == 42


def test_an_evaluation_between_all_logged_steps_counts_once() -> None:
    run = Clock(eval_steps=10)
    for step in range(10, 51, 10):
        run.steps(step, step, every=10)
        evaluate(run, step)
        run.after(0, ev.Phase(name="training"))
    assert run.left == pytest.approx(50 * 2 + 5 * 30)
    assert run.speed == 50


def test_after_a_resume_nothing_of_the_last_attempt_is_shown_as_live() -> None:
    run = Clock()
    run.steps(1, 20)
    run.after(0, ev.Stopped(step=20))
    run.after(600, ev.Started(attempt=2, pid=2, resume_step=20), ev.Phase(name="loading"))
    assert (run.left, run.speed) == (None, None)
    run.after(30, ev.Phase(name="training"))
    run.steps(21, 21, seconds=4)
    assert (run.left, run.speed) == (None, 1.0)
    run.steps(22, 22, seconds=4)
    assert (run.left, run.speed) == (78 * 4, 25)


def test_a_step_is_late_after_ten_times_the_usual_and_never_before_five_minutes() -> None:
    clock = Clock()
    clock.after(1000, ev.Heartbeat())
    assert describe_late_step(clock.state) == ""  # the first step
    clock.steps(1, 20, seconds=4)
    clock.after(299, ev.Heartbeat())
    assert describe_late_step(clock.state) == ""
    clock.after(421, ev.Heartbeat())
    assert describe_late_step(clock.state) == "no step for 12 min"
    clock.steps(21, 21)
    assert describe_late_step(clock.state) == ""
    clock.after(1, ev.Phase(name="evaluating"))
    clock.after(900, ev.Heartbeat())
    assert describe_late_step(clock.state) == ""


def test_a_step_that_is_not_logged_is_not_late() -> None:
    clock = Clock(total=10_000)
    clock.steps(100, 1000, seconds=4, every=100)
    clock.after(3900, ev.Heartbeat())
    assert describe_late_step(clock.state) == ""
    clock.after(200, ev.Heartbeat())
    assert describe_late_step(clock.state) == "no step for 68 min"


def test_the_time_left_comes_from_half_as_many_past_steps_as_are_still_to_come() -> None:
    """The last minute of a run of hours may be a slow or a fast one; the hours to come have as many of both."""
    run = Clock(total=3000)
    for first in range(1, 1000, 100):
        run.steps(first, first + 99, seconds=3 if first // 100 % 2 else 1)
    assert run.left == pytest.approx(2000 * 2, rel=0.01)
    assert run.speed == pytest.approx(100 / 3)  # which is that of the last steps
    slower = Clock(total=300)
    slower.steps(1, 200, seconds=1)
    slower.steps(201, 250, seconds=2)
    assert slower.left == 50 * 2
