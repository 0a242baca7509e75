"""Tests that a run that is read with its history in columns equals one that is read from its events alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from struct import pack

import msgspec
import pytest
from support.fake_runs import append_events
from support.history_file import Chunk, join_chunk, split_chunks
from support.recorded_runs import (
    count_chunks,
    list_values,
    make_recorded_run,
    read_all,
    read_curves,
    read_without,
    record,
    start,
    train,
)

from codex_tui.runs import follower
from codex_tui.runs.follower import RunFollower, snapshot
from training.contract import events as ev
from training.contract.run_directory import RunDirectory
from training.history import recorder
from training.history.columns import History, find_events, read_history
from training.history.recorder import Recorder
from training.history.series import BLOCK, NUMBER_BYTES


@pytest.fixture(autouse=True)
def _short_runs_count_as_long_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "PREVIEW_FROM", 1)
    monkeypatch.setattr(recorder, "MIN_CHUNK_BYTES", 1)
    monkeypatch.setattr(recorder, "GROWTH", 10**9)


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_recorded_run(tmp_path / "long-1")


def test_a_recorded_run_is_the_same_and_its_events_are_not_parsed(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = read_without(run)
    assert count_chunks(run) == 5
    assert truth["damaged_lines"] == truth["missing_events"] == 0
    assert run.history.stat().st_mode & 0o777 == 0o600
    monkeypatch.setattr("training.history.tailer.decode", lambda *_, **__: pytest.fail("the events were parsed"))
    reader = read_all(run)
    assert list_values(reader) == truth
    assert len(reader.watched.state.losses) == 900 > 7 * BLOCK
    watched = snapshot(run)
    assert not watched.sampled
    assert [one.step for one in watched.state.evals] == list(range(50, 901, 50))


def test_the_curves_beside_the_loss_come_from_the_history(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tui.runs.curves.BATCH", 100)
    truth = read_curves(run, with_history=False)
    assert "array('q', [1, 2," in str(truth["VRAM"])
    assert "array('q', [50, 100," in str(truth["temperature"])
    with monkeypatch.context() as patch:
        patch.setattr("training.history.tailer.decode", lambda *_, **__: pytest.fail("the events were parsed"))
        assert read_curves(run) == truth
    append_events(run, ev.Gpu(temperature=99.0), ev.Started(attempt=3, pid=1, resume_step=600), *train(601, 650))
    assert read_curves(run) == read_curves(run, with_history=False)
    record(run)
    assert read_curves(run) == read_curves(run, with_history=False)


@pytest.mark.parametrize("at", [0.2, 0.5, 0.8, 0.999])
def test_curves_of_a_damaged_history_come_from_the_events(run: RunDirectory, at: float) -> None:
    truth, data = read_curves(run, with_history=False), run.history.read_bytes()
    run.history.write_bytes(change_byte(data, int(len(data) * at)))
    assert read_curves(run) == truth
    run.history.write_bytes(data[: int(len(data) * at)])
    assert read_curves(run) == truth
    run.history.write_bytes(data)
    event = run.events.read_bytes().replace(b'"host_mib":2.5', b'"host_mib":3.5', 1)
    run.events.write_bytes(event)
    assert read_curves(run) == read_curves(run, with_history=False)


def test_the_first_look_shows_the_whole_curve_before_the_events_are_compared(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.history.columns.find_events", lambda *_: pytest.fail("the first paint waited"))
    reader = RunFollower(run)
    assert reader.poll()
    assert len(reader.watched.state.losses) == 900
    assert reader.watched.sampled
    assert not reader.complete


def test_the_events_after_the_history_are_read(run: RunDirectory) -> None:
    append_events(run, ev.Started(attempt=3, pid=1, resume_step=600), *train(601, 650))
    with run.events.open("ab") as file:
        file.write(b'{"type":"metrics","st\n{"type":"new"}\n')
    truth = read_without(run)
    assert truth["damaged_lines"] == 1
    assert list_values(read_all(run)) == truth
    record(run)
    assert count_chunks(run) == 6
    assert list_values(read_all(run)) == truth


def test_a_recorded_run_that_is_resumed_while_watched_is_followed(run: RunDirectory) -> None:
    reader = read_all(run)
    append_events(run, ev.Started(attempt=3, pid=1, resume_step=100), ev.Metrics(step=101, loss=0.1), ev.Done(step=101))
    assert reader.poll()
    assert list_values(reader) == read_without(run) | {"liveness": reader.watched.liveness}


def test_a_copied_run_keeps_its_history(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = RunDirectory(shutil.copytree(run.path, run.path.with_name("copy")))
    truth = read_without(copy)
    monkeypatch.setattr("training.history.tailer.decode", lambda *_, **__: pytest.fail("the events were parsed"))
    assert list_values(read_all(copy)) == truth


def change_byte(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "missing": lambda data: b"",
    "zeros": lambda data: b"\x00" * len(data),
    "ones": lambda data: b"\xff" * 4000,
    "torn": lambda data: data[:-1],
    "truncated": lambda data: data[: len(data) // 3],
    "torn header": lambda data: data[:20],
    "changed point": lambda data: change_byte(data, 300),
    "changed header": lambda data: change_byte(data, 40),
    "changed in the middle": lambda data: change_byte(data, len(data) // 2),
    "changed at the end": lambda data: change_byte(data, len(data) - 1),
    "appended": lambda data: data + b"more",
    "twice": lambda data: data + data,
    "another format": lambda data: data.replace(b"codexh", b"codexg"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_damaged_history_costs_time_and_changes_nothing(run: RunDirectory, fault: str) -> None:
    truth = read_without(run)
    data = run.history.read_bytes()
    run.history.write_bytes(FAULTS[fault](data))
    assert list_values(read_all(run)) == truth
    append_events(run, ev.Warned(message="later"))  # by a third attempt, whose recorder repairs the file
    record(run, at_end=True)
    history = read_history(run.history, run.events)
    assert history is not None
    assert history.offset == run.events.stat().st_size
    assert history.size == run.history.stat().st_size
    assert list_values(read_all(run)) == read_without(run)


def test_every_cut_of_the_file_is_read_as_far_as_it_is_whole(run: RunDirectory) -> None:
    truth, data = read_without(run), run.history.read_bytes()
    counts = set()
    for size in range(0, len(data), len(data) // 40):
        run.history.write_bytes(data[:size])
        counts.add(count_chunks(run))
        assert list_values(read_all(run)) == truth
    assert counts == {0, 1, 2, 3, 4}


def test_the_history_of_another_run_is_not_used(run: RunDirectory, tmp_path: Path) -> None:
    other = start(tmp_path / "other")
    append_events(other, *train(2, 1400), ev.Done(step=1400))
    truth = read_without(other)
    shutil.copy(run.history, other.history)
    assert count_chunks(other) == 5
    assert list_values(read_all(other)) == truth
    record(other)
    assert count_chunks(other) == 1
    assert list_values(read_all(other)) == truth


@pytest.mark.parametrize("where", [0.1, 0.5, 0.9])
def test_events_that_were_changed_later_count(run: RunDirectory, where: float) -> None:
    data = run.events.read_bytes()
    at = data.index(b'"loss":0.', int(len(data) * where)) + len(b'"loss":0.')
    status = run.events.stat()
    run.events.write_bytes(data[:at] + (b"1" if data[at : at + 1] != b"1" else b"2") + data[at + 1 :])
    os.utime(run.events, ns=(status.st_atime_ns, status.st_mtime_ns))  # as if nothing had happened
    truth = read_without(run)
    assert list_values(read_all(run)) == truth


def test_a_history_that_is_ahead_of_its_events_is_used_as_far_as_they_go(run: RunDirectory) -> None:
    """As after a power failure, when a part of events.jsonl was lost."""
    history = read_history(run.history, run.events)
    assert history is not None
    for kept in (history.parts[-1][1] - 1, history.parts[2][1] + 5, history.parts[0][1] - 1):
        os.truncate(run.events, kept)
        assert list_values(read_all(run)) == read_without(run)
    record(run)
    assert list_values(read_all(run)) == read_without(run)


def test_events_that_were_replaced_begin_a_new_history(run: RunDirectory) -> None:
    recording = Recorder(run.path)
    run.events.unlink()
    append_events(run, ev.Started(attempt=3, pid=1), *train(1, 30))
    recording.poll()
    recording.close()
    history = read_history(run.history, run.events)
    assert history is not None
    assert find_events(run.events, history.parts) is not None
    assert len(history.state.losses) == 30
    assert list_values(read_all(run)) == read_without(run)


def test_a_state_that_lies_with_a_right_checksum_does_no_harm(run: RunDirectory) -> None:
    """Whoever can write it can write the events, too, so it is enough that nothing breaks."""
    chunks = list(split_chunks(run.history.read_bytes()))
    for old, new in ((b"done", b"dine"), (b"evals", b"avals"), (b"losses\xc0", b"losses\x01"), (b"status", b"")):
        run.history.write_bytes(b"".join(join_chunk(chunk, chunk.rest.replace(old, new)) for chunk in chunks))
        assert read_all(run).complete


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_times_that_no_clock_shows_are_not_used(run: RunDirectory, value: float) -> None:
    """They would end the app where they are shown."""
    chunk, *_ = split_chunks(run.history.read_bytes())
    points = bytearray(chunk.points)
    column = len(read_history_of(run, chunk).state.losses) * NUMBER_BYTES
    points[3 * column : 3 * column + NUMBER_BYTES] = pack("=d", value)  # the first of the times
    state = msgspec.msgpack.decode(chunk.rest)
    late = msgspec.msgpack.encode(state | {"started_at": value})
    for lying in (join_chunk(chunk._replace(points=bytes(points)), chunk.rest), join_chunk(chunk, late)):
        run.history.write_bytes(lying)
        assert read_history(run.history, run.events) is None


def read_history_of(run: RunDirectory, chunk: Chunk) -> History:
    """Read a history that has only `chunk`."""
    run.history.write_bytes(join_chunk(chunk, chunk.rest))
    history = read_history(run.history, run.events)
    assert history
    return history


def test_no_place_makes_the_viewer_wait_or_follow_a_link(run: RunDirectory) -> None:
    truth = read_without(run)
    away = run.history.rename(run.path.with_name("away"))
    run.history.symlink_to(away)
    assert list_values(read_all(run)) == truth  # reading through a link does no harm
    with pytest.raises(OSError, match="link"):
        Recorder(run.path)
    run.history.unlink()
    os.mkfifo(run.history)
    assert list_values(read_all(run)) == truth
    with pytest.raises(OSError, match="not a file"):
        Recorder(run.path)


def test_only_one_process_records_a_run(run: RunDirectory) -> None:
    first = Recorder(run.path)
    with pytest.raises(BlockingIOError):
        Recorder(run.path)
    first.close()
    Recorder(run.path).close()


def test_a_full_disk_leaves_the_history_as_it_was(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, write = run.history.read_bytes(), os.write
    append_events(run, ev.Warned(message="later"))
    recording = Recorder(run.path)
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[: len(data) // 2]))
    recording.poll(at_end=True)
    assert run.history.read_bytes() == kept
    monkeypatch.undo()
    recording.poll(at_end=True)
    recording.close()
    assert run.history.read_bytes().startswith(kept)
    assert list_values(read_all(run)) == read_without(run)


def test_a_part_of_all_events_is_needed_for_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the states in the file, which grow with the run, stay few."""
    monkeypatch.setattr(recorder, "GROWTH", 4)
    run = start(tmp_path / "run")
    recording = Recorder(run.path)
    for step in range(1, 400):
        append_events(run, ev.Metrics(step=step, loss=0.5))
        recording.poll()
    recording.close()
    assert 10 < count_chunks(run) < 30
    assert list_values(read_all(run)) == read_without(run)
