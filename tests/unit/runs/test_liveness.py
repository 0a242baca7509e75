"""Tests the rule that decides whether a run is alive, ended or lost."""

from __future__ import annotations

import msgspec
import pytest

from codex_tui.runs.liveness import TrainerProcess, decide_liveness
from codex_tui.runs.watched import Liveness, ShownStatus, WatchedRun
from training.contract import events as ev
from training.contract.engine import EngineRecord, EngineStatus
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


RECORD = EngineRecord("slurm", job="7", attempt=1)


def on_engine(status: EngineStatus, attempt: int = 1, *, newer: bool = False) -> TrainerProcess:
    record = msgspec.structs.replace(RECORD, status=status, attempt=attempt)
    return TrainerProcess(status == "running", attempt, newer, status != "gone", record, status)


@pytest.mark.parametrize(
    ("status", "process", "liveness", "shown"),
    [
        ("preparing", on_engine("waiting", newer=True), "waiting", "waiting"),
        ("training", on_engine("waiting"), "waiting", "waiting"),  # its node died, and it is queued again
        ("training", on_engine("running"), "alive", "training"),
        ("preparing", on_engine("running", newer=True), "starting", "preparing"),
        ("training", on_engine("unreachable"), "unreachable", "unreachable"),
        ("training", on_engine("gone"), "lost", "lost"),
        ("done", on_engine("unreachable"), "ended", "done"),
        ("done", on_engine("running"), "ended", "done"),
        ("stopped", on_engine("gone"), "ended", "stopped"),
        ("stopped", on_engine("waiting", 2, newer=True), "waiting", "waiting"),  # resumed
        ("stopped", on_engine("waiting", 2), "waiting", "waiting"),  # a mirror got late events of the first attempt
        ("stopped", on_engine("gone", 2, newer=True), "lost", "lost"),
    ],
)
def test_the_events_and_then_the_engine_decide(
    status: Status, process: TrainerProcess, liveness: Liveness, shown: ShownStatus
) -> None:
    state = RunState(status=status, attempt=1)
    assert decide_liveness(process, state) == liveness
    watched = WatchedRun(state, liveness)
    assert watched.status == shown and watched.ended == (liveness in ("ended", "lost"))


def test_a_keeper_on_an_engine_may_heal_what_failed() -> None:
    failed = RunState(status="failed", attempt=1, failure=ev.Failed(kind="gpu_memory", message="Too large."))
    assert WatchedRun(failed, decide_liveness(on_engine("running"), failed)).status == "stopping"
    assert WatchedRun(failed, decide_liveness(on_engine("gone"), failed)).status == "failed"


def test_a_sampled_state_makes_no_ended_run_lost() -> None:
    assert decide_liveness(TrainerProcess(False, **NEW), RunState(status="done", attempt=1), sampled=True) == "ended"
