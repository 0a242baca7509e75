"""What was found out about a file is kept, and never taken for another's or for that of a file that changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from support.row_files import opened, rows_and_lines

from training.dataset import kept, lines
from training.dataset.index import RowIndex
from training.dataset.lines import Changed


@pytest.fixture(autouse=True)
def keep_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files are kept as large ones are."""
    monkeypatch.setattr(lines, "MIN_CACHED_BYTES", 0)


def test_the_next_time_nothing_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"a\n\nb\n \nc"
    first = opened(tmp_path, content)
    before = first.fingerprint()
    [rows] = (tmp_path / "cache" / "datasets").glob("*.rows")
    monkeypatch.setattr(lines.Lines, "_find_rows", lambda *_: pytest.fail("the file was read again"))
    again = RowIndex.open(first.source, tmp_path / "cache")
    assert [(again.line(i), again.text(i)) for i in range(3)] == rows_and_lines(content)
    monkeypatch.setattr(hashlib, "sha256", lambda data: pytest.fail("summed again") if not data else hash_of(data))
    assert again.fingerprint() == before
    assert rows.stat().st_size < 500


def hash_of(data: bytes, real: type = hashlib.sha256) -> object:  # type: ignore[valid-type]
    return real(data)


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "other", "folder"])
def test_a_damaged_index_is_made_anew(tmp_path: Path, damage: str) -> None:
    content = b"\n".join([b"row %d" % number for number in range(100)])
    index = opened(tmp_path, content)
    index.fingerprint()
    for place in (tmp_path / "cache" / "datasets").iterdir():
        kept = place.read_bytes()
        if damage == "folder":
            place.unlink()
            place.mkdir()
        else:
            middle = len(kept) // 2
            flipped = kept[:middle] + bytes([kept[middle] ^ 4]) + kept[middle + 1 :]
            place.write_bytes({"cut": kept[:-3], "flipped": flipped, "emptied": b"", "other": b"\x93\x01\x02"}[damage])
    again = RowIndex.open(index.source, tmp_path / "cache")
    assert [again.text(i) for i in range(len(again))] == content.split(b"\n")
    assert again.fingerprint() == hashlib.sha256(content).hexdigest()


def test_a_folder_that_cant_be_written_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert len(opened(tmp_path, b"a\nb")) == 2


def test_only_the_latest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_FILES", 3)
    opened(tmp_path, *[b"a\n" * number for number in range(1, 9)])
    assert len(list((tmp_path / "cache" / "datasets").iterdir())) == 3


def replace(path: Path, content: bytes) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(content)
    os.utime(other, ns=(1, path.stat().st_mtime_ns))
    other.replace(path)


CHANGES = {
    "grown": lambda path: path.write_bytes(path.read_bytes() + b"d\n"),
    "shrunk": lambda path: path.write_bytes(b"a\n"),
    "written over": lambda path: (path.write_bytes(b"x\ny\nz\n"), os.utime(path, (1, 1))),
    "replaced": lambda path: replace(path, b"x\ny\nz\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changed_is_noticed(tmp_path: Path, change: str) -> None:
    index = opened(tmp_path, b"a\nb\nc\n")
    half = RowIndex(index.source, tmp_path / "other")
    [path] = index.source.files
    CHANGES[change](path)
    for attempt in (
        lambda: index.text(1),
        lambda: index.record(1),
        lambda: list(index.records()),
        lambda: list(index.search("b")),
        index.fingerprint,
        half.build,
    ):
        with pytest.raises(Changed, match="changed while it was open"):
            attempt()
    anew = RowIndex.open(index.source, tmp_path / "cache")
    assert [(anew.line(i), anew.text(i)) for i in range(len(anew))] == rows_and_lines(path.read_bytes())
    assert anew.fingerprint() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    index = opened(tmp_path, b"a\n")
    index.source.files[0].unlink()
    with pytest.raises(FileNotFoundError):
        index.text(0)
    with pytest.raises(FileNotFoundError):
        RowIndex(index.source, tmp_path / "cache")


def test_what_a_killed_write_left_goes_with_the_next(tmp_path: Path) -> None:
    place = kept.cache_path(tmp_path, "rows", "anything")
    place.parent.mkdir()
    left = place.with_name(f".{place.name}.x1.tmp")
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    kept.save(place, [1])
    assert list(place.parent.iterdir()) == [place]
