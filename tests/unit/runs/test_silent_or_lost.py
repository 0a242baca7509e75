"""A followed run whose trainer is silent, has ended without a last event, or starts again."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from support.config_file import write_config
from support.fake_checkpoint import write_checkpoint
from support.fake_runs import append_events
from support.followed_run import end_process, follow_to_end, make_new_run, make_training_events

from codex_tui.runs import follower, liveness
from codex_tui.runs.follower import snapshot
from training.contract import events as ev
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory


@pytest.fixture
def run(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setattr(follower, "CHECK_EVERY", 0.0)
    return make_new_run(empty_home)


@pytest.fixture
def gone() -> ProcessIdentity:
    return end_process()


def test_a_launched_trainer_has_time_to_write_its_process(run: RunDirectory) -> None:
    assert follow_to_end(run).watched.status == "preparing"
    write_config(run, {"created": time.time() - liveness.LAUNCH_GRACE_SECONDS - 1, "profile": {}})
    run.log.write_text("ModuleNotFoundError: No module named 'unsloth'\n")
    watched = follow_to_end(run).watched
    assert watched.status == "lost"
    assert "No module named 'unsloth'" in watched.reason
    assert watched.log_tail == ("ModuleNotFoundError: No module named 'unsloth'",)


def test_a_trainer_that_ended_without_a_last_event_is_lost(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    append_events(run, *make_training_events(3))
    watched = follow_to_end(run).watched
    assert watched.status == "lost"
    assert watched.reason == "The trainer ended at step 3 without a message; the cause is unknown."
    assert snapshot(run).status == "lost"


def test_a_last_event_counts_even_if_the_process_is_gone(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    append_events(run, *make_training_events(3), ev.Failed(kind="disk_full", message="The disk is full."))
    watched = follow_to_end(run).watched
    assert (watched.status, watched.reason) == ("failed", "The disk is full.")


def test_a_lost_run_with_new_events_is_not_lost(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    append_events(run, *make_training_events(3))
    reader = follow_to_end(run)
    run.write_process(ProcessIdentity.current())
    append_events(run, ev.Metrics(step=4, loss=1.0))
    assert reader.poll()
    assert (reader.watched.status, reader.watched.reason, reader.watched.state.step) == ("training", "", 4)


def test_a_resumed_run_prepares_before_its_first_event(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    append_events(run, *make_training_events(3), ev.Stopped(step=3))
    reader = follow_to_end(run)
    assert reader.watched.status == "stopped"
    identity = ProcessIdentity.current(attempt=2)
    run.write_process(identity)
    assert reader.poll()
    assert (reader.watched.status, reader.watched.state.step) == ("preparing", 3)
    append_events(run, ev.Started(attempt=2, pid=identity.pid, resume_step=3), ev.Phase(name="training"))
    reader.poll()
    assert reader.watched.status == "training"


def test_a_silent_trainer_that_lives_is_not_lost(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(ProcessIdentity.current())
    append_events(run, *make_training_events(3))
    for path in (run.events, run.process):
        os.utime(path, (time.time() - 125, time.time() - 125))
    reader = follow_to_end(run)
    assert (reader.watched.status, reader.watched.silent_seconds) == ("training", 120)
    assert not reader.poll()  # no change before the next minute
    append_events(run, ev.Heartbeat())
    assert reader.poll()
    assert reader.watched.silent_seconds == 0
    run.write_process(gone)
    assert reader.poll()
    assert (reader.watched.status, reader.watched.silent_seconds) == ("lost", 0)


def test_a_clock_that_was_set_back_makes_no_run_silent(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    append_events(run, *make_training_events(3))
    os.utime(run.events, (time.time() + 7200, time.time() + 7200))
    assert follow_to_end(run).watched.silent_seconds == 0


def test_a_clock_that_was_set_back_keeps_no_launch_waiting(run: RunDirectory) -> None:
    write_config(run, {"created": time.time() + 7200})  # written by a launcher that died before it started a trainer
    assert snapshot(run).status == "lost"


def test_an_ended_run_has_its_resume_step(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    write_checkpoint(run.checkpoints, 2)
    append_events(run, *make_training_events(3))
    reader = follow_to_end(run)
    assert (reader.watched.status, reader.watched.leftovers.resume_step) == ("lost", 2)
    run.write_process(ProcessIdentity.current(attempt=2))
    assert reader.poll()
    assert (reader.watched.status, reader.watched.leftovers.resume_step) == ("preparing", None)
    assert snapshot(run).leftovers.resume_step is None


@pytest.mark.parametrize(
    ("seconds", "rounded"),
    [(29.9, 0), (30, 30), (59, 30), (61, 60), (125, 120), (7199, 7140), (7201, 7200), (90_000, 90_000)],
)
def test_silence_is_rounded(seconds: float, rounded: int) -> None:
    assert follower.round_silence(seconds) == rounded


def test_a_resume_whose_trainer_dies_before_its_first_event_is_lost(run: RunDirectory, gone: ProcessIdentity) -> None:
    append_events(run, *make_training_events(3), ev.Stopped(step=3))
    os.utime(run.events, (time.time() - 60, time.time() - 60))
    run.log.write_text("ModuleNotFoundError: No module named 'msgspec'\n")
    run.write_process(ProcessIdentity(gone.pid, 1.0, attempt=2))
    for watched in (follow_to_end(run).watched, snapshot(run)):
        assert (watched.status, watched.state.status) == ("lost", "stopped")
        assert watched.reason.endswith("its log ends with: ModuleNotFoundError: No module named 'msgspec'")


def test_a_failure_counts_even_if_the_start_of_its_attempt_is_missing(run: RunDirectory, gone: ProcessIdentity) -> None:
    """On a full disk, only the last event has room, in the reserve."""
    append_events(run, *make_training_events(3), ev.Stopped(step=3))
    run.write_process(ProcessIdentity(gone.pid, 1.0, attempt=2))
    time.sleep(0.02)  # file times are coarse
    append_events(run, ev.Failed(kind="disk_full", message="The disk is full."))
    assert snapshot(run).reason == follow_to_end(run).watched.reason == "The disk is full."


def test_a_lost_run_that_is_resumed_prepares_for_every_viewer(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    append_events(run, *make_training_events(3))
    reader = follow_to_end(run)
    time.sleep(0.02)  # file times are coarse
    run.write_process(ProcessIdentity.current(attempt=2))
    assert reader.poll()
    for watched in (reader.watched, snapshot(run)):
        assert (watched.status, watched.reason, watched.phase, watched.ended) == ("preparing", "", None, False)


def test_a_run_that_was_just_launched_is_not_silent(run: RunDirectory) -> None:
    assert follow_to_end(run).watched.silent_seconds == 0
