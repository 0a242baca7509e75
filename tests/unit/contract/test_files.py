"""Files that are replaced in one step, and the folders of caches."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from training.contract.files import delete_oldest, open_replacement


def test_a_file_is_replaced_at_the_end_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("old")
    with open_replacement(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_two_that_write_at_once_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with open_replacement(path) as first, open_replacement(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert path.read_bytes() in (b"first", b"second")
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_keeps_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("old")
    with pytest.raises(FileNotFoundError) as error, open_replacement(path) as file:
        file.write(b"half")
        (tmp_path / "gone").read_bytes()
    assert error.value.filename == str(tmp_path / "gone")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_file_itself_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as error, open_replacement(tmp_path / "no" / "rows.jsonl"):
        pass
    assert error.value.filename == str(tmp_path / "no" / "rows.jsonl")


def test_the_newest_files_of_a_cache_stay(tmp_path: Path) -> None:
    for age, name in enumerate(["a.rows", "b.rows", "c.rows", "d.scan", ".e.rows.x1.tmp", ".f.rows.x2.tmp"]):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    os.utime(tmp_path / ".f.rows.x2.tmp")  # another process is writing it
    delete_oldest(tmp_path, "*.rows", 2)
    assert {path.name for path in tmp_path.iterdir()} == {"a.rows", "b.rows", "d.scan", ".f.rows.x2.tmp"}
