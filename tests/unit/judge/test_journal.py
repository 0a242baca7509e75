"""The journal keeps what was answered, whatever happens to its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.judged import judge_pairs, make_judgement

from codex_tui.judge import journal
from codex_tui.judge.journal import NAME, Entry, Journal, make_key
from training.contract.judgement import Answer
from training.contract.judgement_file import write
from training.contract.run_directory import RunDirectory

ANSWER = Answer(text="Yes.\x1b[2J", tokens=2, ended="eos")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "run")
    run.create()
    return run


def test_entries_survive_a_kill_in_the_middle_of_a_line(run: RunDirectory) -> None:
    with Journal(run) as first:
        first.add(Entry(key="a", answer=ANSWER))
        first.add(Entry(key="b", answer=ANSWER))
    path = run.judgements / NAME
    assert path.stat().st_mode & 0o077 == 0
    path.write_bytes(path.read_bytes()[:-20])
    with Journal(run) as second:
        assert second.find("a") == Entry(key="a", answer=ANSWER)
        assert second.find("b") is None
        second.add(Entry(key="c", answer=ANSWER))
    assert Journal(run).find("c") == Entry(key="c", answer=ANSWER)
    assert Journal(run).find("b") is None


def test_damaged_lines_are_ignored_and_a_huge_file_begins_again(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.judgements.mkdir()
    path = run.judgements / NAME
    path.write_bytes(
        b"[" * 100_000 + b'\n{"key": 5}\n\xff\n{"key":"a","answer":{"text":"x","tokens":-1,"ended":"eos"}}\n'
    )
    assert Journal(run).find("a") is None
    monkeypatch.setattr(journal, "MAX_BYTES", 100)
    with Journal(run) as opened:
        assert "can't be used" in opened.problem
        opened.add(Entry(key="a", answer=ANSWER))
    assert Journal(run).find("a") == Entry(key="a", answer=ANSWER)


def test_a_link_is_not_written_through(run: RunDirectory, tmp_path: Path) -> None:
    run.judgements.mkdir()
    target = tmp_path / "elsewhere"
    target.write_text("mine\n")
    (run.judgements / NAME).symlink_to(target)
    with pytest.raises(OSError, match="it is a link"), Journal(run) as opened:
        opened.add(Entry(key="a", answer=ANSWER))
    assert target.read_text() == "mine\n"
    (run.judgements / NAME).unlink()
    run.judgements.rmdir()
    run.judgements.symlink_to(tmp_path)
    with pytest.raises(OSError, match="it is a link"), Journal(run) as opened:
        opened.add(Entry(key="a", answer=ANSWER))
    with pytest.raises(OSError, match="it is a link"):
        write(run.judgements / "book.json", make_judgement(judge_pairs([(True, False)])))
    assert {path.name for path in tmp_path.iterdir()} == {"run", "elsewhere"}


def test_a_key_depends_on_all_values() -> None:
    assert make_key("answer", {"a": 1, "b": 2}, "x") == make_key("answer", {"b": 2, "a": 1}, "x")
    assert len({make_key("answer", 1), make_key("answer", "1"), make_key("loss", 1), make_key("answer", [1])}) == 4
