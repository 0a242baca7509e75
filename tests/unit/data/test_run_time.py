"""How long a run still takes, for the queue."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.config_file import write_config

from codex_tui.data import run_time
from codex_tui.data.run_time import TimeEstimates
from training.contract import events as ev
from training.contract.run_directory import RunDirectory
from training.history.reduce import reduce
from training.history.state import RunState

LOADING, STEP = 60.0, 2.0  # seconds


def build_state(*steps: int, resume_step: int | None = None) -> RunState:
    """The state of a run of 100 steps that loads its model, takes `steps`, and is started again from `resume_step`."""
    state, time = RunState(), 1e9
    resolved = ev.Resolved(total_steps=100, steps_per_epoch=25, train_rows=100, eval_rows=0)
    events: list[tuple[float, ev.Event]] = [(0, ev.Started(attempt=1, pid=1)), (LOADING, resolved)]
    events += [(0, ev.Phase(name="training"))]
    events += [(STEP, ev.Metrics(step=step, loss=1.0, tokens=100 * step, tokens_per_second=1.0)) for step in steps]
    if resume_step is not None:
        events += [(0, ev.Started(attempt=2, pid=2, resume_step=resume_step))]
    for seq, (seconds, event) in enumerate(events):
        time += seconds
        event.seq, event.time = seq, time
        state = reduce(state, event)
    return state


def test_before_its_first_steps_an_attempt_has_the_pace_of_the_earlier_ones(tmp_path: Path) -> None:
    state = build_state(*range(1, 21), resume_step=20)
    assert TimeEstimates().estimate_left(RunDirectory(tmp_path), state) == STEP * 80


def test_the_loading_of_the_model_is_no_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDirectory(tmp_path)
    estimates = TimeEstimates()
    assert estimates.estimate_left(run, build_state(1)) is None  # one step, after a minute of loading
    write_config(run, {"profile": {"model": {"name": "demo:llama"}}, "planned_tokens": 4_000})
    monkeypatch.setattr(run_time, "find_last_speed_on", lambda *_: 10.0)
    assert estimates.estimate_left(run, RunState()) == 400
    left = estimates.estimate_left(run, build_state(1))
    assert left is not None and round(left) == 396
