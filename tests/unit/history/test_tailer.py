"""Tests reading a growing file of events: only whole lines, each once, and no content stops the reader."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from training.contract import events as ev
from training.history import tailer
from training.history.points import Point, Unknown
from training.history.tailer import Slice, Tailer, decode, sample_events

ENCODER = msgspec.json.Encoder()


def line(event: ev.Event, seq: int = 0) -> bytes:
    event.seq = seq
    return ENCODER.encode(event) + b"\n"


def metrics(count: int, first: int = 0) -> bytes:
    return b"".join(line(ev.Metrics(step=seq + 1, loss=1.0), seq) for seq in range(first, first + count))


def read_all(reader: Tailer) -> Slice:
    pieces = list(reader.slices())
    return Slice(
        [event for piece in pieces for event in piece.events],
        sum(piece.damaged for piece in pieces),
        any(piece.restarted for piece in pieces),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def test_a_missing_file_has_nothing_yet(path: Path) -> None:
    reader = Tailer(path)
    assert list(reader.slices()) == []
    path.write_bytes(metrics(2))
    assert [event.seq for event in read_all(reader).events] == [0, 1]


def test_a_torn_last_line_is_not_a_line_until_it_is_whole(path: Path) -> None:
    whole = metrics(3)
    reader = Tailer(path)
    seen: list[int] = []
    with path.open("ab", buffering=0) as file:
        for byte in range(len(whole)):
            file.write(whole[byte : byte + 1])
            result = read_all(reader)
            assert result.damaged == 0
            seen += [event.seq for event in result.events]
            assert len(seen) == whole[: byte + 1].count(b"\n")
    assert seen == [0, 1, 2]


def test_nothing_new_reads_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_bytes(metrics(3))
    reader = Tailer(path)
    read_all(reader)
    monkeypatch.setattr(tailer, "decode", lambda data: pytest.fail("read again"))
    assert list(reader.slices()) == []


@pytest.mark.parametrize("field", ["time", "loss"])
@pytest.mark.parametrize("value", [-1.7e308, 1.7e308])
@pytest.mark.parametrize("points", [True, False])
def test_a_line_with_an_impossible_number_is_damaged(field: str, value: float, points: bool) -> None:
    """The sum or the difference of two such numbers is infinite, which nothing can draw or write."""
    impossible = ENCODER.encode(ev.Metrics(step=4, **{field: value})) + b"\n"
    result = decode(metrics(3) + impossible + metrics(1, first=4), points=points)
    assert [event.seq for event in result.events] == [0, 1, 2, 4]
    assert result.damaged == 1


@pytest.mark.parametrize(
    "damage",
    [
        b"\x00\x00\x00",
        b'{"type":"metrics","step":"one"}',
        b'{"type":"metrics","st',
        b'{"type":"warning","message":"\xff\xfe"}',
        b'{"type":"metrics","step":1,"loss":NaN}',
        b'{"type":"metrics","step":1,"loss":1e999}',
        b'{"type":"warning","message":"m","x":' + b"[" * 100_000,
        b'{"type":"metrics","step":1' + b"0" * 30 + b"}",
        b"[1, 2]",
        b'{"step": 1}',
        b"null",
    ],
)
def test_a_damaged_line_is_counted_and_skipped(path: Path, damage: bytes) -> None:
    path.write_bytes(metrics(2) + damage + b"\n" + metrics(2, first=2))
    result = read_all(Tailer(path))
    assert [event.seq for event in result.events] == [0, 1, 2, 3]
    assert result.damaged == 1


def test_damage_in_a_long_file_costs_no_other_line() -> None:
    lines = metrics(5000).split(b"\n")[:-1]
    lines[17] = lines[4000] = b"{"
    result = decode(b"\n".join(lines) + b"\n")
    assert result.damaged == 2
    assert [event.seq for event in result.events] == [seq for seq in range(5000) if seq not in (17, 4000)]


def test_unknown_types_count_for_seq_and_no_more(path: Path) -> None:
    path.write_bytes(line(ev.Heartbeat()) + b'{"type":"holograms","seq":1,"time":5.0,"x":[{}]}\n' + metrics(1, first=2))
    result = read_all(Tailer(path))
    assert result.damaged == 0
    assert [type(event) for event in result.events] == [ev.Heartbeat, Unknown, ev.Metrics]
    assert (result.events[1].seq, result.events[1].time) == (1, 5.0)


def test_points_are_metrics_without_their_figures_but_for_the_last() -> None:
    events = decode(metrics(3) + line(ev.Warned(message='{"type":"metrics"'), 3), points=True).events
    assert [type(event) for event in events] == [Point, Point, ev.Metrics, ev.Warned]
    damaged = decode(metrics(3) + b"{\n" + metrics(2, first=3), points=True)
    assert damaged.damaged == 1 and type(damaged.events[-1]) is ev.Metrics


def test_blank_lines_are_nothing() -> None:
    assert decode(b"\n\n" + metrics(1) + b"  \n").events[0].seq == 0
    assert decode(b"\n{\n\n").damaged == 1


def test_a_replaced_file_is_read_again(path: Path) -> None:
    path.write_bytes(metrics(5))
    reader = Tailer(path)
    read_all(reader)
    other = path.with_suffix(".new")
    other.write_bytes(metrics(7))
    other.replace(path)
    result = read_all(reader)
    assert result.restarted and len(result.events) == 7


def test_a_truncated_file_is_read_again(path: Path) -> None:
    path.write_bytes(metrics(5))
    reader = Tailer(path)
    read_all(reader)
    path.write_bytes(metrics(2))
    result = read_all(reader)
    assert result.restarted and len(result.events) == 2


def test_a_line_longer_than_a_slice_is_read_whole(path: Path) -> None:
    long = line(ev.Sample(step=1, prompt="p", text="x" * (3 * tailer.SLICE)), 1)
    path.write_bytes(metrics(1) + long + metrics(1, first=2))
    result = read_all(Tailer(path))
    assert [event.seq for event in result.events] == [0, 1, 2]
    assert result.damaged == 0


def test_a_reader_that_stops_early_continues_there(path: Path) -> None:
    path.write_bytes(metrics(20_000))
    reader = Tailer(path)
    seqs: list[int] = []
    while piece := next(reader.slices(), None):
        seqs += [event.seq for event in piece.events]
    assert seqs == list(range(20_000))


@pytest.mark.parametrize("count", [0, 1, 300, 2000, 30_000])
def test_a_sample_has_head_and_tail_and_no_line_twice(path: Path, count: int) -> None:
    path.write_bytes(metrics(count))
    steps = [event.step for event in sample_events(path, spots=50) if isinstance(event, ev.Metrics)]
    assert steps == sorted(set(steps))
    if count:
        assert (steps[0], steps[-1]) == (1, count)
    if count == 30_000:
        assert len(steps) < count / 5
        # The middle is covered evenly: no gap is much longer than the distance between two spots.
        assert max(right - left for left, right in pairwise(steps)) < count / 25


def test_a_sample_of_nothing_is_empty(path: Path) -> None:
    assert sample_events(path) == []
