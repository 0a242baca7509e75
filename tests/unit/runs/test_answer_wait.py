"""The words for the wait for a trainer's answer, and its time."""

from __future__ import annotations

import pytest

from codex_tui.runs.answer_wait import describe_wait
from codex_tui.runs.watched import WatchedRun
from training.contract import events as ev
from training.history.reduce import reduce
from training.history.state import RunState

START = 1e9


def watch(*events: tuple[float, ev.Event]) -> WatchedRun:
    state = RunState()
    steps = [(10.0 * step, ev.Metrics(step=step)) for step in range(1, 5)]
    training: list[tuple[float, ev.Event]] = [(0.0, ev.Started(attempt=1, pid=1)), (0.0, ev.Phase(name="training"))]
    for seq, (seconds, event) in enumerate([*training, *steps, *events]):
        event.seq, event.time = seq, START + seconds
        reduce(state, event)
    return WatchedRun(state)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([], "waits for the end of the step, about 0:07"),
        ([(40.0, ev.Phase(name="answering"))], "waits for the end of an earlier answer"),
        ([(40.0, ev.Phase(name="evaluating"))], "waits for the end of the evaluation and of the next step"),
        (
            [
                (40.0, ev.Eval(step=4, seconds=60.0)),
                (41.0, ev.Phase(name="evaluating", done=3, total=4, unit="batches")),
            ],
            "waits for the end of the evaluation and of the next step, about 0:25",
        ),
        (
            [(40.0, ev.Checkpoint(step=4, path="c", seconds=5.0)), (41.0, ev.Phase(name="saving"))],
            "waits until the checkpoint is saved, and for the next step, about 0:15",
        ),
        ([(40.0, ev.Phase(name="cooling"))], "waits until the GPU is cool again"),
        ([(41.0, ev.Stopping(step=4))], "waits for the trainer"),
    ],
)
def test_the_wait_names_its_reason_and_its_time(events: list[tuple[float, ev.Event]], words: str) -> None:
    assert describe_wait(watch(*events), START + 43.0) == words


def test_before_the_first_step_the_time_is_not_known() -> None:
    words = "waits until the run has loaded, and for its first step"
    assert describe_wait(WatchedRun(RunState()), START) == words
