"""The time left of a run, whatever interrupts its steps."""

from __future__ import annotations

import pytest
from support.clocked_run import Clock, evaluate, save

from training.contract import events as ev


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


def test_before_the_first_step_the_time_left_is_that_of_the_timed_passes() -> None:
    run = Clock(total=100, eval_steps=50)
    probe = ev.Probe(tokens=100, rows=1, step_seconds=2.0, eval_seconds=7.0)
    run.after(0, ev.Phase(name="probing"))
    run.after(5, probe, ev.Phase(name="sampling"))
    assert run.left == 100 * 2 + 2 * 7
    run.after(4, ev.Sample(step=0, prompt="Who?", text="Me", seconds=4.0), ev.Phase(name="training"))
    assert run.left == 100 * 2 + 2 * (7 + 4)
    run.steps(1, 1, seconds=30)  # the first one loads kernels
    run.steps(2, 2, seconds=1)  # of short rows
    assert run.left == 98 * 2 + 2 * (7 + 4)
    run.steps(3, 12, seconds=3)
    assert run.left == pytest.approx(88 * 3 + 2 * (7 + 4))


def test_the_probe_counts_as_few_steps_where_only_each_tenth_is_logged() -> None:
    run = Clock(total=1000, train_tokens=25 * 100)
    run.after(5, ev.Probe(tokens=100, rows=1, step_seconds=3.0), ev.Phase(name="training"))
    run.steps(10, 60, seconds=1, every=10)
    assert run.left == pytest.approx(940 * (50 * 1 + 10 * 3) / 60)


def test_the_probe_counts_as_a_few_steps_among_the_first_ones() -> None:
    """Ten steps of short rows would promise too early an end, and the probe has timed rows of usual length."""
    run = Clock(total=1000, train_tokens=25 * 150)
    run.after(5, ev.Probe(tokens=300, rows=1, step_seconds=3.0), ev.Phase(name="training"))
    run.steps(1, 15)  # 2 s for 100 tokens: no other length was measured
    assert run.left == pytest.approx(985 * 3)
    same = Clock(total=1000)
    same.after(5, ev.Probe(tokens=300, rows=1, step_seconds=3.0), ev.Phase(name="training"))
    same.steps(1, 500)
    assert same.left == pytest.approx(500 * 2, rel=0.02)


def test_a_step_takes_no_less_than_the_shortest_measured_one() -> None:
    """The probe times no optimizer. The first steps have one, and may be slow for other reasons too."""
    run = Clock(total=100)
    run.after(5, ev.Probe(tokens=100, rows=1, step_seconds=2.0), ev.Phase(name="training"))
    run.steps(1, 2, seconds=20)
    run.steps(3, 4, seconds=2.5)
    assert run.left == 96 * 2.5


def test_the_probe_of_an_earlier_attempt_says_nothing_while_the_next_one_loads() -> None:
    run = Clock()
    run.after(5, ev.Probe(tokens=100, rows=1, step_seconds=2.0))
    run.steps(1, 20)
    run.after(0, ev.Stopped(step=20))
    run.after(600, ev.Started(attempt=2, pid=2, resume_step=20), ev.Phase(name="loading"))
    assert run.left is None
    run.after(30, ev.Phase(name="probing"))
    assert run.left is None
    run.after(5, ev.Probe(tokens=100, rows=1, step_seconds=3.0), ev.Phase(name="training"))
    assert run.left == 80 * 3


def test_slow_first_steps_are_not_expected_again() -> None:
    run = Clock(total=1000)
    for step, seconds in enumerate((30, 16, 6, 4), 1):
        run.steps(step, step, seconds=seconds)
    run.steps(5, 10)
    assert run.left == 990 * 2


@pytest.mark.parametrize(("per_token", "fixed"), [(0.02, 0.0), (0.0, 2.0), (0.01, 1.0)])
def test_steps_of_mean_length_are_expected_whatever_the_lengths_of_the_first_ones(
    per_token: float, fixed: float
) -> None:
    """A small card takes twice as long for twice the tokens, and a large one as long as before."""
    run = Clock(total=100, train_tokens=25 * 100)
    tokens = 0
    for step in range(1, 21):
        tokens += (length := (150, 250)[step % 2])
        run.after(fixed + per_token * length, ev.Metrics(step=step, loss=1.0, tokens=tokens))
    assert run.left == pytest.approx(80 * (fixed + per_token * 100))
    same = Clock(total=100, train_tokens=25 * 100)
    same.steps(1, 20)  # all of them are of the mean length
    assert same.left == 160


def test_a_long_step_of_many_tokens_was_not_interrupted() -> None:
    """One long row among short ones takes many times as long on a small card, and others like it come."""
    run = Clock(total=100, train_tokens=25 * 290)
    tokens = 0
    for step in range(1, 61):
        tokens += (length := 2000 if step % 10 == 5 else 100)
        run.after(length / 50, ev.Metrics(step=step, loss=1.0, tokens=tokens))
    assert run.left == pytest.approx(40 * 290 / 50)
    run.after(3600, ev.Metrics(step=61, loss=1.0, tokens=tokens + 100))  # the laptop slept
    assert run.left == pytest.approx(39 * 290 / 50)


def test_lengths_of_a_damaged_file_stop_no_estimate() -> None:
    run = Clock(total=100, train_tokens=25 * 100)
    for step, tokens in enumerate((9, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 1):
        run.after(2, ev.Metrics(step=step, loss=1.0, tokens=tokens))
    assert run.left is not None
    assert run.left >= 0


def test_the_samples_that_an_evaluation_still_makes_are_a_part_of_the_time_left() -> None:
    run = Clock(total=40, eval_steps=20)
    run.steps(1, 20)
    evaluate(run, 20)
    run.after(0, ev.Phase(name="training"))
    run.steps(21, 40)
    run.after(0, ev.Phase(name="evaluating"))
    run.after(20, ev.Eval(step=40, eval_loss=1.0, seconds=20))
    assert run.left == 10
    run.after(6, ev.Heartbeat())
    assert run.left == 4
    run.after(4, ev.Sample(step=40, prompt="p", text="t", seconds=10.0))
    assert run.left == 0
