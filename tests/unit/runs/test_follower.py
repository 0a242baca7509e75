"""Tests following a run: its history, new events, and the difference between a silent trainer and a lost one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.config_file import write_config
from support.fake_checkpoint import write_checkpoint

from codex_tui.runs import follower, liveness
from codex_tui.runs.follower import RunFollower, snapshot
from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.history import tailer
from training.history.reduce import reduce_all
from training.history.state import RunState
from training.history.tailer import decode


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setattr(follower, "CHECK_EVERY", 0.0)
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    run = RunDirectory(tmp_path / "zombie-1")
    run.create()
    write_config(run, {"created": time.time(), "profile": {}})
    return run


@pytest.fixture
def gone() -> ProcessIdentity:
    """A process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return ProcessIdentity(child.pid, 1.0)


def write(run: RunDirectory, *events: ev.Event) -> None:
    writer = EventWriter(run.events)
    for event in events:
        writer.emit(event)
    writer.close()


def training(last: int) -> list[ev.Event]:
    metrics = [ev.Metrics(step=step, loss=1.0) for step in range(1, last + 1)]
    return [ev.Started(attempt=1, pid=1), ev.Phase(name="training"), *metrics]


def follow_to_end(run: RunDirectory) -> RunFollower:
    """Poll until all events are read."""
    reader = RunFollower(run)
    for _ in range(5):
        reader.poll()
    assert reader.complete
    return reader


def test_a_live_run_is_followed(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    reader = RunFollower(run)
    assert reader.poll() and reader.complete
    assert reader.watched.status == "preparing"
    write(run, *training(2))
    assert reader.poll()
    assert (reader.watched.status, reader.watched.state.step) == ("training", 2)
    assert not reader.poll()
    write(run, ev.Done(step=2))
    assert reader.poll()
    assert reader.watched.status == "done"
    assert reader.complete


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
    write(run, *training(3))
    watched = follow_to_end(run).watched
    assert watched.status == "lost"
    assert watched.reason == "The trainer ended at step 3 without a message; the cause is unknown."
    assert snapshot(run).status == "lost"


def test_a_last_event_counts_even_if_the_process_is_gone(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    write(run, *training(3), ev.Failed(kind="disk_full", message="The disk is full."))
    watched = follow_to_end(run).watched
    assert (watched.status, watched.reason) == ("failed", "The disk is full.")


def test_a_lost_run_with_new_events_is_not_lost(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    write(run, *training(3))
    reader = follow_to_end(run)
    run.write_process(ProcessIdentity.current())
    write(run, ev.Metrics(step=4, loss=1.0))
    assert reader.poll()
    assert (reader.watched.status, reader.watched.reason, reader.watched.state.step) == ("training", "", 4)


def test_a_resumed_run_prepares_before_its_first_event(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    write(run, *training(3), ev.Stopped(step=3))
    reader = follow_to_end(run)
    assert reader.watched.status == "stopped"
    identity = ProcessIdentity.current(attempt=2)
    run.write_process(identity)
    assert reader.poll()
    assert (reader.watched.status, reader.watched.state.step) == ("preparing", 3)
    write(run, ev.Started(attempt=2, pid=identity.pid, resume_step=3), ev.Phase(name="training"))
    reader.poll()
    assert reader.watched.status == "training"


def test_a_long_history_shows_whole_at_once_and_then_exactly(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(run, *training(20_000), ev.Done(step=20_000))
    monkeypatch.setattr(follower, "PREVIEW_FROM", 1024)
    reader = RunFollower(run)
    assert reader.poll(0.0)
    sampled = reader.watched
    assert sampled.sampled and not reader.complete
    assert (sampled.status, sampled.state.step, sampled.missing_events) == ("done", 20_000, 0)
    assert 500 < len(sampled.state.losses) < 20_000
    while not reader.complete:
        reader.poll(0.0)
    assert reader.watched.state is not sampled.state
    assert list(reader.watched.state.losses.steps) == list(range(1, 20_001))
    assert (reader.watched.status, reader.watched.missing_events) == ("done", 0)


def test_a_burst_is_read_over_several_polls(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    write(run, *training(1))
    reader = follow_to_end(run)
    write(run, *[ev.Metrics(step=step, loss=1.0) for step in range(2, 15_000)])
    polls = 0
    while reader.watched.state.step < 14_999:
        assert reader.poll(0.0) and reader.complete
        polls += 1
    assert polls > 1
    assert len(reader.watched.state.losses) == 14_999


def test_a_run_with_a_new_events_file_forgets_the_old_events(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    write(run, *training(50))
    reader = follow_to_end(run)
    run.events.unlink()
    write(run, *training(2))
    assert reader.poll()
    assert list(reader.watched.state.losses.steps) == [1, 2]


def test_a_silent_trainer_that_lives_is_not_lost(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(ProcessIdentity.current())
    write(run, *training(3))
    for path in (run.events, run.process):
        os.utime(path, (time.time() - 125, time.time() - 125))
    reader = follow_to_end(run)
    assert (reader.watched.status, reader.watched.silent_seconds) == ("training", 120)
    assert not reader.poll()  # no change before the next minute
    write(run, ev.Heartbeat())
    assert reader.poll()
    assert reader.watched.silent_seconds == 0
    run.write_process(gone)
    assert reader.poll()
    assert (reader.watched.status, reader.watched.silent_seconds) == ("lost", 0)


def test_a_clock_that_was_set_back_makes_no_run_silent(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    write(run, *training(3))
    os.utime(run.events, (time.time() + 7200, time.time() + 7200))
    assert follow_to_end(run).watched.silent_seconds == 0


def test_a_clock_that_was_set_back_keeps_no_launch_waiting(run: RunDirectory) -> None:
    write_config(run, {"created": time.time() + 7200})  # written by a launcher that died before it started a trainer
    assert snapshot(run).status == "lost"


def test_an_ended_run_has_its_resume_step(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    write_checkpoint(run.checkpoints, 2)
    write(run, *training(3))
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


def test_damage_is_counted(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    write(run, *training(2))
    with run.events.open("ab") as file:
        file.write(b'{"type":"metrics","st')  # a kill in the middle of a line
    write(run, ev.Started(attempt=2, pid=1, resume_step=2))
    watched = follow_to_end(run).watched
    assert (watched.damaged_lines, watched.state.attempt, watched.missing_events) == (1, 2, 0)


def test_the_state_comes_from_events_alone(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    write(run, *training(3))
    watched = follow_to_end(run).watched
    assert (watched.status, watched.liveness, watched.state.status) == ("lost", "lost", "training")
    by_events = reduce_all(RunState(), decode(run.events.read_bytes(), points=True).events)
    assert {**vars(watched.state), "losses": None} == {**vars(by_events), "losses": None}


def test_a_resume_whose_trainer_dies_before_its_first_event_is_lost(run: RunDirectory, gone: ProcessIdentity) -> None:
    write(run, *training(3), ev.Stopped(step=3))
    os.utime(run.events, (time.time() - 60, time.time() - 60))
    run.log.write_text("ModuleNotFoundError: No module named 'msgspec'\n")
    run.write_process(ProcessIdentity(gone.pid, 1.0, attempt=2))
    for watched in (follow_to_end(run).watched, snapshot(run)):
        assert (watched.status, watched.state.status) == ("lost", "stopped")
        assert watched.reason.endswith("its log ends with: ModuleNotFoundError: No module named 'msgspec'")


def test_a_failure_counts_even_if_the_start_of_its_attempt_is_missing(run: RunDirectory, gone: ProcessIdentity) -> None:
    """On a full disk, only the last event has room, in the reserve."""
    write(run, *training(3), ev.Stopped(step=3))
    run.write_process(ProcessIdentity(gone.pid, 1.0, attempt=2))
    time.sleep(0.02)  # file times are coarse
    write(run, ev.Failed(kind="disk_full", message="The disk is full."))
    assert snapshot(run).reason == follow_to_end(run).watched.reason == "The disk is full."


def test_a_lost_run_that_is_resumed_prepares_for_every_viewer(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    write(run, *training(3))
    reader = follow_to_end(run)
    time.sleep(0.02)  # file times are coarse
    run.write_process(ProcessIdentity.current(attempt=2))
    assert reader.poll()
    for watched in (reader.watched, snapshot(run)):
        assert (watched.status, watched.reason, watched.phase, watched.ended) == ("preparing", "", None, False)


def test_a_snapshot_of_a_long_run_does_not_confuse_attempts(
    run: RunDirectory, gone: ProcessIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start of the newest attempt is in the middle of the file, and the sample skips it."""
    monkeypatch.setattr(tailer, "sample_events", lambda path: [event for event in decode_all(path) if event.seq != 3])
    monkeypatch.setattr(follower, "PREVIEW_FROM", 1)
    run.write_process(ProcessIdentity.current(attempt=2))
    time.sleep(0.02)  # file times are coarse
    write(run, *training(1), ev.Started(attempt=2, pid=1, resume_step=1), ev.Metrics(step=2, loss=1.0))
    assert (snapshot(run).status, snapshot(run).state.attempt) == ("training", 1)
    write(run, ev.Done(step=2))
    run.write_process(ProcessIdentity(gone.pid, 1.0, attempt=2))  # as in a copy, in which all files have the same date
    assert snapshot(run).status == "done"


def decode_all(path: Path) -> list[ev.Event]:
    return decode(path.read_bytes()).events


def test_a_snapshot_on_a_slow_machine_has_the_whole_history(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    write(run, *training(30), ev.Done(step=30))
    monkeypatch.setattr(tailer, "SLICE", 512)

    def decode_slowly(data: bytes, *, points: bool = False) -> tailer.Slice:
        time.sleep(0.02)
        return decode(data, points=points)

    monkeypatch.setattr(tailer, "decode", decode_slowly)
    assert (snapshot(run).status, snapshot(run).state.step) == ("done", 30)


def test_a_run_that_was_just_launched_is_not_silent(run: RunDirectory) -> None:
    assert follow_to_end(run).watched.silent_seconds == 0
