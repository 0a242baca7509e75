"""A row is found where it stands, whatever the bytes are, and while the index grows."""

from __future__ import annotations

import itertools
import json
import os
import threading
from datetime import date
from pathlib import Path

import pytest
from benchmarks import make_dataset
from hypothesis import assume, given
from hypothesis import strategies as st
from support.row_files import opened, rows_and_lines, source

from training.dataset import index as index_module
from training.dataset import lines
from training.dataset.formats import BYTE_ORDER_MARK, format_of, may_be_text
from training.dataset.index import RowIndex
from training.dataset.records import BadRow, Record, records
from training.dataset.shapes import Columns, read_row
from training.dataset.source import Source, sha256

ROW = b'{"instruction": "Who?", "response": "Rook."}'


@pytest.fixture(autouse=True)
def keep_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files are kept as large ones are."""
    monkeypatch.setattr(lines, "MIN_CACHED_BYTES", 0)


def all_records(index: RowIndex) -> list[Record]:
    one_by_one = [index.record(position) for position in range(len(index))]
    for start in (0, 1, len(index) // 2, len(index)):
        assert list(index.records(start)) == one_by_one[start:]
    return one_by_one


CONTENT = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.text(alphabet=" \t\r\x0b\x0c", max_size=5).map(str.encode),
        st.dictionaries(st.text(max_size=3), st.text(max_size=20), max_size=3).map(
            lambda row: json.dumps(row).encode()
        ),
        st.sampled_from([b"\xef\xbb\xbf", b"\x00", b"\x1c{}", b"{}" * 20]),
    ),
    max_size=12,
)


@given(CONTENT, st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \n"]), st.booleans(), st.sampled_from([1, 3, 7, 64]))
def test_by_position_is_as_from_the_beginning(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], line_end: bytes, ends: bool, size: int
) -> None:
    content = line_end.join(parts) + (line_end if ends else b"")
    assume(may_be_text(content.removeprefix(BYTE_ORDER_MARK).lstrip()))
    expected = rows_and_lines(content)
    rows = source(tmp_path_factory.mktemp("rows"), content)
    assume(format_of(rows.files[0]) == "jsonl")  # other JSON has no index of lines
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "SLICE", max(size, 3))
        for _ in ("read", "kept"):
            index = RowIndex.open(rows, rows.files[0].parent / "cache")
            assert [(index.line(i), index.text(i)) for i in range(len(index))] == expected
            assert [index.text(i, size) for i in range(len(index))] == [text[:size].rstrip() for _, text in expected]
            assert all_records(index) == list(records(rows.files[0]))


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\n \n\t\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("last", [b"", b"end"])
def test_marks_line_ends_and_blank_lines(tmp_path: Path, line_end: bytes, mark: bytes, last: bytes) -> None:
    content = mark + line_end + ROW + line_end + b"\xff\xfe" + line_end + b"  " + ROW + line_end + last
    index = opened(tmp_path, content)
    texts = [ROW, b"\xff\xfe", ROW, b"end"][: 4 if last else 3]
    assert [index.text(position) for position in range(len(index))] == texts
    assert all_records(index) == list(records(tmp_path / "0.jsonl"))
    assert index.record(1).problem.startswith("not UTF-8")


@pytest.mark.parametrize("content", [b"", b"\n", b"\xef\xbb\xbf", b" \r\n\n"])
def test_a_file_without_rows(tmp_path: Path, content: bytes) -> None:
    index = opened(tmp_path, content)
    assert (len(index), index.complete, list(index.search("a"))) == (0, True, [])
    with pytest.raises(IndexError, match="no row 0"):
        index.text(0)


def test_positions_run_on_through_all_files(tmp_path: Path) -> None:
    index = opened(tmp_path, b"a\nb\n", b"", b"\nc", b"d\ne")
    assert [index.text(i) for i in range(len(index))] == [b"a", b"b", b"c", b"d", b"e"]
    assert [(index.file(i), index.line(i)) for i in range(5)] == [(0, 1), (0, 2), (2, 2), (3, 1), (3, 2)]
    for beyond in (-1, 5):
        with pytest.raises(IndexError):
            index.record(beyond)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".json", json.dumps([{"text": "Rook"}, {"text": "zärtlich"}, 3], ensure_ascii=False, indent=1).encode()),
        (".json", b'[{"text": "Rook"}, {"text": "z\\u00e4rtlich"}, {"text"'),
        (".csv", "text,other\r\nRook,1\r\n\"zärtlich\nund laut\",2\r\nshort\r\n".encode()),
    ],
)  # fmt: skip
def test_files_without_lines_are_held(tmp_path: Path, suffix: str, content: bytes) -> None:
    index = opened(tmp_path, content, ROW, suffix=suffix)
    expected = list(records(tmp_path / f"0{suffix}")) + list(records(tmp_path / f"1{suffix}", 1))
    assert all_records(index) == expected  # of both files
    assert [(index.file(i), index.line(i)) for i in range(len(index))] == [(r.file, r.line) for r in expected]
    assert json.loads(index.text(1)) == expected[1].raw
    assert index.text(1, 4) == index.text(1)[:4]
    assert index.text(2) == b""
    assert list(index.search("ZäRT")) == [1]


def test_what_json_cant_say_is_held_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a Parquet file may have it."""
    rows = [Record(0, 1, {"day": date(2026, 1, 2)}), Record(0, 2, {"text": "half \ud83e"}), Record(0, 3, {"text": "a"})]
    monkeypatch.setattr(index_module, "records", lambda path, file: iter(rows))
    index = opened(tmp_path, b"", suffix=".csv")
    assert all_records(index) == rows
    assert b"2026" in index.text(0)
    assert list(index.search("HALF")) == [1]


def test_rows_can_be_read_while_they_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "SLICE", 64)
    rows = [b"%d " % number + b"x" * 50 for number in range(200)]
    index = RowIndex(source(tmp_path, b"\n".join(rows)), tmp_path / "cache")
    halfway, go_on = threading.Event(), threading.Event()

    def progress(done: int, total: int) -> None:
        if done > total / 2 and not halfway.is_set():
            halfway.set()
            go_on.wait(60)

    assert (len(index), list(index.search("x")), index.complete) == (0, [], False)
    builder = threading.Thread(target=index.build, args=(progress,))
    builder.start()
    assert halfway.wait(60)
    found = len(index)
    assert 90 < found < 110
    assert not index.complete
    assert [index.text(i) for i in range(found)] == rows[:found]
    assert list(index.search("x")) == list(range(found))
    assert len(list(index.records())) == found
    go_on.set()
    builder.join(60)
    assert (len(index), index.complete) == (200, True)
    assert index.text(199) == rows[199]


def test_it_goes_on_where_it_was_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "SLICE", 5)
    contents = [b"one\n\ntwo\n three\n\n", b"four\nfive"]
    index = RowIndex(source(tmp_path, *contents), tmp_path / "cache")
    looks = itertools.count()
    rounds = 0
    while not index.build(cancelled=lambda: next(looks) % 2 == 1):
        rounds += 1
    assert rounds >= 5
    expected = [(file, *row) for file, content in enumerate(contents) for row in rows_and_lines(content)]
    assert [(index.file(i), index.line(i), index.text(i)) for i in range(len(index))] == expected


def test_progress_counts_the_bytes_of_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "SLICE", 4)
    told: list[tuple[int, int]] = []
    index = RowIndex.open(source(tmp_path, b"a\nb\nc\n", b"d\n"), tmp_path / "cache", lambda *each: told.append(each))
    assert told == [(4, 8), (6, 8), (8, 8)]
    told.clear()
    assert index.fingerprint(lambda *each: told.append(each)) == sha256(index.source)
    assert told == [(4, 8), (6, 8), (8, 8)]


def test_a_row_of_fifty_megabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    length = 50 * 2**20
    read: list[int] = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, at: (read.append(size), pread(file, size, at))[1])
    index = opened(tmp_path, ROW + b'\n{"text": "' + b"long " * (length // 5) + b'Needle"}\n' + ROW)
    assert len(index) == 3
    assert max(read) == lines.SLICE
    read.clear()
    assert index.text(1, 20) == b'{"text": "long long'
    assert index.line(2) == 3
    assert read == [20]
    assert [record.problem[:11] for record in all_records(index)] == ["", "longer than", ""]
    assert list(index.search("needle")) == [1]
    assert max(read) < length
    assert len(index.text(1)) > length


def test_what_the_generator_damages_is_found(tmp_path: Path) -> None:
    path = tmp_path / "damaged.jsonl"
    with path.open("wb") as file:
        _, *said = make_dataset.damaged(100, None, 1, file.write)
    index = RowIndex.open(Source("rows", (path,)), tmp_path / "cache")
    bad = []
    for record in index.records():
        try:
            read_row(record, Columns())
        except BadRow as problem:
            bad.append((record.line, str(problem)))
    assert len(index) == 100
    assert [f"line {line}" for line, _ in bad] == [each.partition(":")[0] for each in said]
    assert len({problem for _, problem in bad}) >= len(said) - 3
