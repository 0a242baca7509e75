"""Tests the rule that decides whether a run is alive, ended or lost."""

from __future__ import annotations

import pytest

from codex_tui.runs.liveness import TrainerProcess, decide_liveness
from codex_tui.runs.watched import Liveness, ShownStatus, WatchedRun
from training.history.state import RunState, Status

NEW = {"attempt": 2, "newer_than_events": True}  # a second attempt, which has written no event yet


@pytest.mark.parametrize(
    ("status", "process", "liveness", "shown"),
    [
        ("preparing", TrainerProcess(True), "alive", "preparing"),  # just launched: there is no process.json
        ("training", TrainerProcess(True, attempt=1), "alive", "training"),
        ("stopped", TrainerProcess(True, attempt=1), "alive", "stopped"),  # it is about to exit
        ("stopped", TrainerProcess(True, attempt=2), "starting", "preparing"),  # also after the clock was set back
        ("training", TrainerProcess(True, **NEW), "starting", "preparing"),
        ("training", TrainerProcess(True, attempt=2), "alive", "training"),  # only its first event is damaged
        ("training", TrainerProcess(False, attempt=1), "lost", "lost"),
        ("stopping", TrainerProcess(False), "lost", "lost"),
        ("done", TrainerProcess(False, attempt=1), "ended", "done"),
        ("failed", TrainerProcess(False, attempt=2), "ended", "failed"),
        ("stopped", TrainerProcess(False, **NEW), "lost", "lost"),
    ],
)
def test_the_process_and_the_events_decide(
    status: Status, process: TrainerProcess, liveness: Liveness, shown: ShownStatus
) -> None:
    state = RunState(status=status, attempt=1)
    assert decide_liveness(process, state) == liveness
    assert WatchedRun(state, liveness).status == shown


def test_a_sampled_state_makes_no_ended_run_lost() -> None:
    assert decide_liveness(TrainerProcess(False, **NEW), RunState(status="done", attempt=1), sampled=True) == "ended"
