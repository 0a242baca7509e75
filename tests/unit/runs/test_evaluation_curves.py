"""The evaluations and the pass rates of a run as curves."""

from __future__ import annotations

import math

from codex_tui.runs.evaluation_curves import build_eval_curve, build_pass_curve
from training.contract import events as ev
from training.history.reduce import reduce_all
from training.history.state import RunState


def make_state(*more: ev.Event) -> RunState:
    events: list[ev.Event] = [ev.Started(attempt=1, pid=1), ev.Phase(name="training")]
    for step in range(10, 101, 10):
        events.append(ev.Metrics(step=step, loss=200.0 / step, tokens=step * 100))
    for index, event in enumerate(events):
        event.seq, event.time = index, 1000.0 + index
    return reduce_all(RunState(), [*events, *more])


def make_evals(*evals: tuple[int, float | None]) -> RunState:
    return make_state(*(ev.Eval(step=step, eval_loss=loss) for step, loss in evals))


def test_an_evaluation_has_the_time_and_the_tokens_of_its_step() -> None:
    curve = build_eval_curve(make_evals((0, 5.0), (20, 3.0), (55, 2.0)))
    assert list(curve.steps) == [0, 20, 55]
    assert list(curve.losses) == [5.0, 3.0, 2.0]
    assert list(curve.tokens) == [0, 2000, 5000]
    assert list(curve.times) == [0.0, 2.0, 5.0]


def test_the_last_of_two_evaluations_of_one_step_counts() -> None:
    curve = build_eval_curve(make_evals((40, 3.0), (20, 4.0), (40, 2.5)))
    assert (list(curve.steps), list(curve.losses)) == ([20, 40], [4.0, 2.5])


def test_an_evaluation_without_a_finite_loss_leaves_a_gap() -> None:
    assert math.isnan(build_eval_curve(make_evals((20, None))).losses[0])


def test_a_pass_rate_is_a_curve_in_percent() -> None:
    state = make_state(*(ev.PassRate(step=step, passes=passes, questions=40) for step, passes in ((20, 0), (55, 26))))
    curve = build_pass_curve(state)
    assert (list(curve.steps), list(curve.losses)) == ([20, 55], [0.0, 65.0])
    assert (list(curve.tokens), list(curve.times)) == ([2000, 5000], [2.0, 5.0])
