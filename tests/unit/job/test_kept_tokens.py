"""The tokens of rows, kept for a resume and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.dataset.template_faults import TemplateFaults
from training.job import kept_tokens
from training.job.tokens import Encoded, EncodedRow

ROWS = [
    EncodedRow([Encoded([1, 128_000, 7, 2], ((1, 2), (3, 4)))], faults=TemplateFaults(endless=1)),
    EncodedRow(refusal="no system role"),
    EncodedRow([Encoded([5, 6], ((0, 2),)), Encoded([], ())], faults=TemplateFaults(reasoning_lost=2)),
]


def save(path: Path) -> None:
    """Keep ROWS, which come in two batches."""
    tokens = kept_tokens.Tokens()
    tokens.add(ROWS[:2])
    tokens.add(ROWS[2:])
    tokens.save(path)


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "x.tokens"
    save(path)
    found = kept_tokens.load(path, 3)
    assert found is not None
    assert [(row.sequences, row.refusal) for row in found] == [(row.sequences, row.refusal) for row in ROWS]
    total = TemplateFaults()
    for row in found:
        total.add(row.faults)
    assert total == TemplateFaults(reasoning_lost=2, endless=1)


def test_the_tokens_of_other_rows_or_damaged_ones_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "x.tokens"
    assert kept_tokens.load(path, 3) is None
    save(path)
    assert kept_tokens.load(path, 4) is None
    content = path.read_bytes()
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        assert kept_tokens.load(path, 3) is None
    path.write_bytes(content[:-1])
    assert kept_tokens.load(path, 3) is None


def test_too_many_tokens_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.tokens"
    monkeypatch.setattr(kept_tokens, "MAX_BYTES", 4 * 5)
    save(path)
    assert not path.exists()
    monkeypatch.setattr(kept_tokens, "MAX_BYTES", 4 * 6)
    save(path)
    assert path.exists()


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    save(tmp_path / "file" / "x.tokens")
