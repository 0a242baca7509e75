"""Tests following a run: its history and its new events, also if some of them are damaged."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.fake_runs import append_events
from support.followed_run import end_process, follow_to_end, make_new_run, make_training_events

from codex_tui.runs import follower
from codex_tui.runs.follower import RunFollower, snapshot
from training.contract import events as ev
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.history import tailer
from training.history.reduce import reduce_all
from training.history.state import RunState
from training.history.tailer import decode


@pytest.fixture
def run(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setattr(follower, "CHECK_EVERY", 0.0)
    return make_new_run(empty_home)


@pytest.fixture
def gone() -> ProcessIdentity:
    return end_process()


def test_a_live_run_is_followed(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    reader = RunFollower(run)
    assert reader.poll() and reader.complete
    assert reader.watched.status == "preparing"
    append_events(run, *make_training_events(2))
    assert reader.poll()
    assert (reader.watched.status, reader.watched.state.step) == ("training", 2)
    assert not reader.poll()
    append_events(run, ev.Done(step=2))
    assert reader.poll()
    assert reader.watched.status == "done"
    assert reader.complete


def test_a_long_history_shows_whole_at_once_and_then_exactly(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    append_events(run, *make_training_events(20_000), ev.Done(step=20_000))
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
    append_events(run, *make_training_events(1))
    reader = follow_to_end(run)
    append_events(run, *[ev.Metrics(step=step, loss=1.0) for step in range(2, 15_000)])
    polls = 0
    while reader.watched.state.step < 14_999:
        assert reader.poll(0.0) and reader.complete
        polls += 1
    assert polls > 1
    assert len(reader.watched.state.losses) == 14_999


def test_a_run_with_a_new_events_file_forgets_the_old_events(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    append_events(run, *make_training_events(50))
    reader = follow_to_end(run)
    run.events.unlink()
    append_events(run, *make_training_events(2))
    assert reader.poll()
    assert list(reader.watched.state.losses.steps) == [1, 2]


def test_damage_is_counted(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    append_events(run, *make_training_events(2))
    with run.events.open("ab") as file:
        file.write(b'{"type":"metrics","st')  # a kill in the middle of a line
    append_events(run, ev.Started(attempt=2, pid=1, resume_step=2))
    watched = follow_to_end(run).watched
    assert (watched.damaged_lines, watched.state.attempt, watched.missing_events) == (1, 2, 0)


def test_the_state_comes_from_events_alone(run: RunDirectory, gone: ProcessIdentity) -> None:
    run.write_process(gone)
    append_events(run, *make_training_events(3))
    watched = follow_to_end(run).watched
    assert (watched.status, watched.liveness, watched.state.status) == ("lost", "lost", "training")
    by_events = reduce_all(RunState(), decode(run.events.read_bytes(), points=True).events)
    assert {**vars(watched.state), "losses": None} == {**vars(by_events), "losses": None}


def test_a_snapshot_of_a_long_run_does_not_confuse_attempts(
    run: RunDirectory, gone: ProcessIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start of the newest attempt is in the middle of the file, and the sample skips it."""
    monkeypatch.setattr(tailer, "sample_events", lambda path: [event for event in decode_all(path) if event.seq != 3])
    monkeypatch.setattr(follower, "PREVIEW_FROM", 1)
    run.write_process(ProcessIdentity.current(attempt=2))
    time.sleep(0.02)  # file times are coarse
    append_events(
        run, *make_training_events(1), ev.Started(attempt=2, pid=1, resume_step=1), ev.Metrics(step=2, loss=1.0)
    )
    assert (snapshot(run).status, snapshot(run).state.attempt) == ("training", 1)
    append_events(run, ev.Done(step=2))
    run.write_process(ProcessIdentity(gone.pid, 1.0, attempt=2))  # as in a copy, in which all files have the same date
    assert snapshot(run).status == "done"


def decode_all(path: Path) -> list[ev.Event]:
    return decode(path.read_bytes()).events


def test_a_snapshot_on_a_slow_machine_has_the_whole_history(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    append_events(run, *make_training_events(30), ev.Done(step=30))
    monkeypatch.setattr(tailer, "SLICE", 512)

    def decode_slowly(data: bytes, *, points: bool = False) -> tailer.Slice:
        time.sleep(0.02)
        return decode(data, points=points)

    monkeypatch.setattr(tailer, "decode", decode_slowly)
    assert (snapshot(run).status, snapshot(run).state.step) == ("done", 30)
