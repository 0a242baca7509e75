"""The time left and the speed of a run, whatever interrupts its steps."""

from __future__ import annotations

from itertools import count

import pytest

from codex_tui.runs.pace import (
    average_uninterrupted,
    describe_late_step,
    estimate_time_left,
    estimate_tokens_per_second,
)
from training.contract import events as ev
from training.history.reduce import reduce
from training.history.state import RunState


class Clock:
    """Feeds events to a state at times that the test chooses."""

    def __init__(self, total: int = 100, eval_steps: int = 0, save_steps: int = 0, book_steps: int = 0) -> None:
        self.time, self.state, self._seq = 1e9, RunState(), count()
        resolved = ev.Resolved(
            total_steps=total, steps_per_epoch=25, train_rows=100, eval_rows=12 if eval_steps else 0,
            eval_steps=eval_steps, save_steps=save_steps, book_steps=book_steps,
        )  # fmt: skip
        self.after(0, ev.Started(attempt=1, pid=1))
        self.after(9, resolved, ev.Phase(name="training"))

    def after(self, seconds: float, *events: ev.Event) -> None:
        self.time += seconds
        for event in events:
            event.seq, event.time = next(self._seq), self.time
            self.state = reduce(self.state, event)

    def steps(self, first: int, last: int, seconds: float = 2.0, every: int = 1) -> None:
        for step in range(first, last + 1, every):
            self.after(seconds * every, ev.Metrics(step=step, loss=1.0, tokens=100 * step, tokens_per_second=1.0))

    @property
    def left(self) -> float | None:
        return estimate_time_left(self.state)

    @property
    def speed(self) -> float | None:
        return estimate_tokens_per_second(self.state)


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


def evaluate(run: Clock, step: int, seconds: float = 30.0) -> None:
    run.after(0, ev.Phase(name="evaluating"))
    run.after(seconds - 10, ev.Eval(step=step, eval_loss=1.0, seconds=seconds - 10))
    run.after(10, ev.Sample(step=step, prompt="p", text="t"))


def save(run: Clock, step: int, seconds: float = 5.0) -> None:
    run.after(0, ev.Phase(name="saving"))
    run.after(seconds, ev.Checkpoint(step=step, path="c", seconds=seconds))


def test_evaluations_and_checkpoints_to_come_are_added() -> None:
    run = Clock(total=95, eval_steps=20, save_steps=40)  # at 20, 40, 60, 80, 95; and at 40, 80, 95
    run.steps(1, 19)
    # Before the first one: 12 rows forward only, where a step goes forward and backward with 4 rows in 2 s.
    assert run.left == pytest.approx(76 * 2 + 5 * 2)
    run.steps(20, 20)
    evaluate(run, 20)
    run.after(0, ev.Phase(name="training"))
    assert run.left == pytest.approx(75 * 2 + 4 * 30)
    run.steps(21, 40)
    evaluate(run, 40)
    save(run, 40)
    run.after(0, ev.Phase(name="training"))
    assert run.left == pytest.approx(55 * 2 + 3 * 30 + 2 * 5)
    run.steps(41, 41)  # no jump after an evaluation
    assert run.left == pytest.approx(54 * 2 + 3 * 30 + 2 * 5)
    run.steps(42, 95)
    evaluate(run, 95)
    save(run, 95)
    assert run.left == 0


def test_before_the_first_evaluation_its_sample_takes_as_long_as_the_base_models() -> None:
    """A run of minutes spends a tenth of its time on samples, and would seem to end that much earlier."""
    run = Clock(total=100, eval_steps=50)
    run.steps(1, 10)
    without = run.left
    assert without is not None
    other = Clock(total=100, eval_steps=50)
    other.after(8, ev.Sample(step=0, prompt="Who?", text="Me", seconds=8.0))
    other.steps(1, 10)
    assert other.left == pytest.approx(without + 2 * 8)


def test_the_time_left_falls_during_an_evaluation() -> None:
    run = Clock(eval_steps=20)
    run.steps(1, 20)
    evaluate(run, 20)
    run.after(0, ev.Phase(name="training"))
    run.steps(21, 39)
    run.after(2, ev.Phase(name="evaluating"), ev.Metrics(step=40, loss=1.0, tokens=4000))
    assert run.left == pytest.approx(60 * 2 + 4 * 30)
    run.after(15, ev.Phase(name="evaluating", done=6, total=12))
    assert run.left == pytest.approx(60 * 2 + 3.5 * 30)


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


def test_a_run_of_an_earlier_version_has_no_evaluations_to_come() -> None:
    run = Clock()
    run.steps(1, 20)
    evaluate(run, 20)
    run.after(0, ev.Phase(name="training"))
    assert run.left == 160


def test_the_questions_of_the_book_take_time_too() -> None:
    run = Clock(book_steps=40)
    run.steps(1, 40)
    assert run.left == 120  # how long they take is not known before the first time
    run.after(30, ev.PassRate(step=40, passes=1, questions=20, seconds=30.0), ev.Phase(name="training"))
    assert run.left == 120 + 2 * 30  # at step 80 and at the end
    run.steps(41, 80)
    run.after(0, ev.Phase(name="evaluating", done=5, total=20, unit="questions"))
    assert run.left == 40 + 30 + 0.75 * 30
    run.after(30, ev.PassRate(step=80, passes=1, questions=20, seconds=30.0), ev.Phase(name="training"))
    assert run.left == 40 + 30


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
