"""Following a run: history, what is new, and telling a silent trainer from a lost one."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.config_file import write_config
from support.fake_checkpoint import write_checkpoint

from codex_tui.runs import follower
from codex_tui.runs.follower import RunFollower, glance
from training.contract import events as ev
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory


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
    """A process that was, and is no more."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return ProcessIdentity(child.pid, 1.0)


def write(run: RunDirectory, *events: ev.Event) -> None:
    writer = ev.EventWriter(run.events)
    for event in events:
        writer.emit(event)
    writer.close()


def training(last: int) -> list[ev.Event]:
    metrics = [ev.Metrics(step=step, loss=1.0) for step in range(1, last + 1)]
    return [ev.Started(attempt=1, pid=1), ev.Phase(name="training"), *metrics]


def settled(run: RunDirectory) -> RunFollower:
    reader = RunFollower(run)
    for _ in range(5):
        reader.poll()
    assert reader.complete
    return reader


def test_a_live_run_is_followed(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    reader = RunFollower(run)
    assert reader.poll() and reader.complete
    assert reader.state.status == "preparing"
    write(run, *training(2))
    assert reader.poll()
    assert (reader.state.status, reader.state.step) == ("training", 2)
    assert not reader.poll()
    write(run, ev.Done(step=2))
    assert reader.poll()
    assert reader.state.status == "done"
    assert reader.complete


def test_a_launched_trainer_has_a_while_to_say_who_it_is(run: RunDirectory) -> None:
    assert settled(run).state.status == "preparing"
    write_config(run, {"created": time.time() - follower.GRACE - 1, "profile": {}})
    run.log.write_text("ModuleNotFoundError: No module named 'unsloth'\n")
    state = settled(run).state
    assert state.status == "lost"
    assert "No module named 'unsloth'" in state.reason
    assert state.log_tail == ("ModuleNotFoundError: No module named 'unsloth'",)


def test_a_trainer_that_went_without_a_word_is_lost(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    write(run, *training(3))
    state = settled(run).state
    assert state.status == "lost"
    assert state.reason == "The trainer ended at step 3 without a word, and nothing saw how."
    assert glance(run).status == "lost"


def test_a_last_word_counts_even_if_the_process_is_gone(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    write(run, *training(3), ev.Failed(kind="disk_full", message="The disk is full."))
    state = settled(run).state
    assert (state.status, state.reason) == ("failed", "The disk is full.")


def test_a_lost_run_that_speaks_again_is_not_lost(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    write(run, *training(3))
    reader = settled(run)
    run.write_process(ProcessIdentity.current())
    write(run, ev.Metrics(step=4, loss=1.0))
    assert reader.poll()
    assert (reader.state.status, reader.state.reason, reader.state.step) == ("training", "", 4)


def test_a_resumed_run_prepares_before_it_speaks(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    write(run, *training(3), ev.Stopped(step=3))
    reader = settled(run)
    assert reader.state.status == "stopped"
    identity = ProcessIdentity.current(attempt=2)
    run.write_process(identity)
    assert reader.poll()
    assert (reader.state.status, reader.state.step) == ("preparing", 3)
    write(run, ev.Started(attempt=2, pid=identity.pid, resume_step=3), ev.Phase(name="training"))
    reader.poll()
    assert reader.state.status == "training"


def test_a_long_history_shows_whole_at_once_and_then_exactly(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(run, *training(20_000), ev.Done(step=20_000))
    monkeypatch.setattr(follower, "PREVIEW_FROM", 1024)
    reader = RunFollower(run)
    assert reader.poll(0.0)
    sampled = reader.state
    assert not reader.complete
    assert (sampled.status, sampled.step, sampled.missing_events) == ("done", 20_000, 0)
    assert 500 < len(sampled.losses) < 20_000
    while not reader.complete:
        reader.poll(0.0)
    assert reader.state is not sampled
    assert list(reader.state.losses.steps) == list(range(1, 20_001))
    assert (reader.state.status, reader.state.missing_events) == ("done", 0)


def test_a_burst_is_read_over_several_polls(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    write(run, *training(1))
    reader = settled(run)
    write(run, *[ev.Metrics(step=step, loss=1.0) for step in range(2, 15_000)])
    polls = 0
    while reader.state.step < 14_999:
        assert reader.poll(0.0) and reader.complete
        polls += 1
    assert polls > 1
    assert len(reader.state.losses) == 14_999


def test_a_run_whose_events_began_anew_forgets_the_old_ones(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    write(run, *training(50))
    reader = settled(run)
    run.events.unlink()
    write(run, *training(2))
    assert reader.poll()
    assert list(reader.state.losses.steps) == [1, 2]


def test_a_silent_trainer_that_lives_is_told_from_a_lost_one(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(ProcessIdentity.current())
    write(run, *training(3))
    for path in (run.events, run.process):
        os.utime(path, (time.time() - 125, time.time() - 125))
    reader = settled(run)
    assert (reader.state.status, reader.state.silent) == ("training", 120)
    assert not reader.poll()  # not told again before the next minute
    write(run, ev.Heartbeat())
    assert reader.poll()
    assert reader.state.silent == 0
    run.write_process(gone)
    assert reader.poll()
    assert (reader.state.status, reader.state.silent) == ("lost", 0)


def test_a_clock_that_was_set_back_makes_no_run_silent(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    write(run, *training(3))
    os.utime(run.events, (time.time() + 7200, time.time() + 7200))
    assert settled(run).state.silent == 0


def test_a_clock_that_was_set_back_keeps_no_launch_waiting(run: RunDirectory) -> None:
    write_config(run, {"created": time.time() + 7200})  # by a launcher that did not come to start anything
    assert glance(run).status == "lost"


def test_an_ended_run_knows_where_it_goes_on(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    write_checkpoint(run.checkpoints, 2)
    write(run, *training(3))
    reader = settled(run)
    assert (reader.state.status, reader.state.resume_step) == ("lost", 2)
    run.write_process(ProcessIdentity.current(attempt=2))
    assert reader.poll()
    assert (reader.state.status, reader.state.resume_step) == ("preparing", None)
    assert glance(run).resume_step is None


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(29.9, 0), (30, 30), (59, 30), (61, 60), (125, 120), (7199, 7140), (7201, 7200), (90_000, 90_000)],
)
def test_silence_is_told_in_round_figures(seconds: float, told: int) -> None:
    assert follower.rounded(seconds) == told


def test_damage_is_counted(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    write(run, *training(2))
    with run.events.open("ab") as file:
        file.write(b'{"type":"metrics","st')  # a kill in the middle of a line
    write(run, ev.Started(attempt=2, pid=1, resume_step=2))
    state = settled(run).state
    assert (state.damaged_lines, state.attempt, state.missing_events) == (1, 2, 0)
