"""Events are whole lines, numbered without gaps over all attempts."""

import json
import os
import resource
import time
from pathlib import Path

import pytest

from training.contract import events as ev
from training.contract.event_writer import EventWriter


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines() if line]


def test_an_event_is_a_line_of_plain_json(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "events.jsonl")
    writer.emit(ev.Metrics(step=1, loss=float("nan"), not_finite=("loss",)))
    [event] = lines(tmp_path / "events.jsonl")
    assert event["type"] == "metrics"
    assert event["loss"] is None
    assert event["not_finite"] == ["loss"]
    assert (event["v"], event["seq"]) == (1, 0)
    assert event["time"] > 1e9
    assert (tmp_path / "events.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_next_attempt_goes_on_counting_behind_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = EventWriter(path)
    for _ in range(3):
        first.emit(ev.Heartbeat())
    first.close()
    with path.open("ab") as file:
        file.write(b'{"type":"metrics","seq":3,"st')
    second = EventWriter(path)
    second.emit(ev.Started(attempt=2, pid=os.getpid(), resume_step=5))
    whole = path.read_bytes().splitlines()
    assert json.loads(whole[-1])["seq"] == 3
    assert whole[-2].endswith(b'"st')


def test_a_full_disk_spoils_no_later_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.emit(ev.Heartbeat())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            writer.emit(ev.Warned(message="cut short"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    writer.emit(ev.Heartbeat())
    first, torn, last = path.read_text().splitlines()
    assert torn == '{"type":"w'
    assert [json.loads(line)["seq"] for line in (first, last)] == [0, 1]


def test_a_clock_that_is_set_back_moves_no_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.emit(ev.Heartbeat())
    monkeypatch.setattr(time, "time", lambda: 1e9)
    writer.emit(ev.Heartbeat())
    before, after = (event["time"] for event in lines(path))
    assert before <= after < before + 60


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_file_that_is_taken_away_is_begun_anew(tmp_path: Path, how: str) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.emit(ev.Started(attempt=1, pid=5))
    if how == "deleted":
        path.unlink()
    else:
        path.rename(tmp_path / "moved.jsonl")
    if how == "replaced":  # by an editor that saves, in the middle of a line
        path.write_text('{"seq":0}\n{"se')
    for step in (1, 2):
        writer.emit(ev.Metrics(step=step))
    told = [json.loads(line) for line in path.read_text().splitlines()[-4:]]
    assert [event["type"] for event in told] == ["started", "warning", "metrics", "metrics"]
    assert [event["seq"] for event in told] == [1, 2, 3, 4]
    assert "deleted or replaced" in told[1]["message"]
    if how == "deleted":
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "run" / "events.jsonl"
    path.parent.mkdir()
    writer = EventWriter(path)
    path.parent.rename(tmp_path / "moved")
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match=r"events\.jsonl"):
            writer.emit(ev.Heartbeat())
    (tmp_path / "moved").rename(path.parent)
    writer.emit(ev.Heartbeat())
    assert len(lines(path)) == 1


def test_a_pipe_in_its_place_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "events.jsonl")
    with pytest.raises(OSError, match="not a file"):
        EventWriter(tmp_path / "events.jsonl")


def test_what_is_not_finite_has_no_value() -> None:
    assert [ev.finite_or_none(value) for value in (1.5, None, float("nan"), float("inf"))] == [1.5, None, None, None]


def test_events_of_a_run_that_was_renamed_go_on_in_their_file(tmp_path: Path) -> None:
    (tmp_path / "car").mkdir()
    writer = EventWriter(tmp_path / "car" / "events.jsonl", lambda: tmp_path / "van" / "events.jsonl")
    writer.emit(ev.Heartbeat())
    (tmp_path / "car").rename(tmp_path / "van")
    (tmp_path / "car").mkdir()  # someone else's
    for _ in range(2):
        writer.emit(ev.Heartbeat())
    assert list((tmp_path / "car").iterdir()) == []
    assert [event["seq"] for event in lines(tmp_path / "van" / "events.jsonl")] == [0, 1, 2]
