"""The curves of a comparison: the evaluations of a run as a curve, and one value for each column of the chart."""

from __future__ import annotations

import math

from codex_tui.ui.compare.curves import build_eval_curve, reduce_to_line
from training.contract import events as ev
from training.history.state import RunState, reduce_all


def make_state(*evals: tuple[int, float | None]) -> RunState:
    events: list[ev.Event] = [ev.Started(attempt=1, pid=1), ev.Phase(name="training")]
    for step in range(10, 101, 10):
        events.append(ev.Metrics(step=step, loss=200.0 / step, tokens=step * 100))
    for index, event in enumerate(events):
        event.seq, event.time = index, 1000.0 + index
    return reduce_all(RunState(), [*events, *(ev.Eval(step=step, eval_loss=loss) for step, loss in evals)])


def test_an_evaluation_has_the_time_and_the_tokens_of_its_step() -> None:
    curve = build_eval_curve(make_state((0, 5.0), (20, 3.0), (55, 2.0)))
    assert list(curve.steps) == [0, 20, 55]
    assert list(curve.losses) == [5.0, 3.0, 2.0]
    assert list(curve.tokens) == [0, 2000, 5000]
    assert list(curve.times) == [0.0, 2.0, 5.0]


def test_the_last_of_two_evaluations_of_one_step_counts() -> None:
    curve = build_eval_curve(make_state((40, 3.0), (20, 4.0), (40, 2.5)))
    assert (list(curve.steps), list(curve.losses)) == ([20, 40], [4.0, 2.5])


def test_an_evaluation_without_a_finite_loss_leaves_a_gap() -> None:
    assert math.isnan(build_eval_curve(make_state((20, None))).losses[0])


def test_a_line_has_one_value_for_each_column() -> None:
    losses = make_state().losses
    smooth = reduce_to_line(losses, "steps", 0.0, 100.0, 4, smooth=True)
    raw = reduce_to_line(losses, "steps", 0.0, 100.0, 4, smooth=False)
    assert raw[0] is not None and raw[0].low == raw[0].high == raw[0].mean == (20 + 10) / 2
    assert smooth[1] is not None and raw[1] is not None and smooth[1].mean > raw[1].mean
    assert reduce_to_line(losses, "steps", 0.0, 1000.0, 4, smooth=True)[3] is None
