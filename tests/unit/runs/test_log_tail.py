"""Tests following the end of a log that grows, is trimmed, and has progress bars."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from codex_tui.runs import log_tail
from codex_tui.runs.log_tail import LogTail
from codex_tui.runs.outcome import read_log_tail
from training.contract import log as trainer_log
from training.contract.run_directory import RunDirectory


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trainer.log"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def test_lines_come_once_and_whole(path: Path) -> None:
    tail = LogTail(path)
    assert tail.poll() == []  # no file yet
    append(path, b"first\nsec")
    assert tail.poll() == ["first"]
    assert tail.poll() == []
    append(path, b"ond\n\nth\xc3")
    assert tail.poll() == ["second", ""]
    append(path, b"\xbcrd\n\xff\n")
    assert tail.poll() == ["th\u00fcrd", "\N{REPLACEMENT CHARACTER}"]


def test_of_a_progress_bar_the_last_state_is_shown(path: Path) -> None:
    append(path, b"  1%\r 50%\r100%\r\nplain\r\n")
    assert LogTail(path).poll() == ["100%", "plain"]


def test_a_secret_in_the_log_is_not_shown(path: Path) -> None:
    """Libraries write the URL of a failed download."""
    append(path, b"GET https://u:s3cret@host.invalid/a?X-Amz-Signature=s3cret&part=1 failed\n")
    shown = "GET https://\u2026@host.invalid/a?X-Amz-Signature=\u2026&part=1 failed"
    assert LogTail(path).poll() == [shown]
    assert read_log_tail(RunDirectory(path.parent)) == (shown,)


def test_a_new_file_in_its_place_is_read_from_its_start(path: Path) -> None:
    tail = LogTail(path)
    append(path, b"old and long, torn")
    tail.poll()
    path.write_bytes(b"new\n")
    assert tail.poll() == ["new"]


def test_a_log_that_lost_its_middle_is_not_shown_twice(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_log, "MAX_LOG_BYTES", 4000)
    monkeypatch.setattr(trainer_log, "BYTES_KEPT_AT_START", 500)
    monkeypatch.setattr(trainer_log, "BYTES_KEPT_AT_END", 2000)
    tail, shown = LogTail(path), []
    for number in range(300):
        append(path, b"line %d, be" % number)
        shown += tail.poll()
        append(path, b"gun and ended\n")
        if number % 10 == 9:
            trainer_log.trim_log(path)
            append(path, b"line %d.5\n" % number)
    shown += tail.poll()
    assert path.stat().st_size < 5000
    assert shown[:2] == ["line 0, begun and ended", "line 1, begun and ended"]
    assert len(shown) == len(set(shown)) == 330


@pytest.mark.parametrize(("before", "after"), [(300_000, 0), (10, 300_000)])
def test_of_many_new_bytes_only_the_last_whole_lines_are_read(
    path: Path, monkeypatch: pytest.MonkeyPatch, before: int, after: int
) -> None:
    monkeypatch.setattr(log_tail, "FIRST_LOOK", 100)
    monkeypatch.setattr(log_tail, "MAX_BYTES_AT_ONCE", 100)
    tail = LogTail(path)
    append(path, b"0123456789" * (before // 10) + b"\n")
    lines = tail.poll()
    append(path, b"torn" * (after // 4) + b"\nnear the end\nthe end\n")
    lines += tail.poll()
    assert lines[-2:] == ["near the end", "the end"]
    assert not any("torn" in line for line in lines)


def test_a_gigabyte_costs_no_more_than_its_end(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**30)  # a sparse file: it needs no space
    append(path, b"\nthe end\n")
    assert LogTail(path).poll() == ["the end"]


def test_colours_are_left_out_and_other_sequences_stay_to_be_seen(path: Path) -> None:
    path.write_bytes(b"\x1b[1;31mred\x1b[0m words\x1b[K\n\x1b]0;title\x07\n")
    assert LogTail(path).poll() == ["red words", "\x1b]0;title\x07"]
