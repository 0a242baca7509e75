"""The curves of a comparison: one value for each column of the chart."""

from __future__ import annotations

from codex_tui.ui.compare.curves import build_curve, reduce_to_line
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


def test_a_line_has_one_value_for_each_column() -> None:
    losses = make_state().losses
    smooth = reduce_to_line(losses, "steps", 0.0, 100.0, 4, smooth=True)
    raw = reduce_to_line(losses, "steps", 0.0, 100.0, 4, smooth=False)
    assert raw[0] is not None and raw[0].low == raw[0].high == raw[0].mean == (20 + 10) / 2
    assert smooth[1] is not None and raw[1] is not None and smooth[1].mean > raw[1].mean
    assert reduce_to_line(losses, "steps", 0.0, 1000.0, 4, smooth=True)[3] is None


def test_each_curve_has_its_values() -> None:
    state = make_state(ev.Eval(step=20, eval_loss=3.0), ev.PassRate(step=20, passes=1, questions=4))
    assert build_curve("loss", state) is state.losses
    assert [list(build_curve(name, state).losses) for name in ("eval loss", "pass rate")] == [[3.0], [25.0]]
