"""The file of a judgement: it is the same when it is read again, and a damaged one is one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.judged import judge_pairs, make_judgement

from training.contract import judgement_file
from training.contract.judgement_file import JudgementError, list_files, read, write


def test_a_judgement_is_read_as_it_was_written(tmp_path: Path) -> None:
    result = make_judgement(judge_pairs([(True, False)] * 3, tag="boss", known="near"))
    path = tmp_path / "judgements" / "book.json"
    write(path, result)
    assert read(path) == result
    assert path.stat().st_mode & 0o077 == 0
    (path.parent / "answers.jsonl").touch()
    assert list_files(path.parent) == [path]
    assert list_files(tmp_path / "none") == []
    (path.parent / "gone.json").symlink_to(tmp_path / "nowhere.json")
    assert list_files(path.parent) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is damaged: "),
        (b"[" * 100_000, "is damaged: "),
        (b'{"version": 1, "name": 5}', "is damaged: "),
        (b'{"version": 9}', "was written by a newer Codex TUI (version 9, this one knows 1)."),
        (b" " * 200, "can't be read: it is larger than 0 MiB."),
    ],
)
def test_a_damaged_file_is_one_error(
    tmp_path: Path, content: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "book.json"
    path.write_bytes(content)
    if content.isspace():
        monkeypatch.setattr(judgement_file, "MAX_BYTES", 100)
    with pytest.raises(JudgementError) as caught:
        read(path)
    assert caught.value.message.startswith(f"{path} {message}")
    assert caught.value.hint
