"""How long rows are, kept and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.dataset import lengths as token_lengths
from training.dataset.lengths import Lengths
from training.dataset.shapes import Columns


def some() -> Lengths:
    found = Lengths()
    for tokens, start in ((10, 4), (100, 60), (10, 10)):
        found.add(tokens, start)
    found.refuse("no system role")
    return found


def test_the_cut() -> None:
    found = some()
    assert [found.learned(row, 1000) for row in range(4)] == [6, 40, 0, 0]
    assert [found.learned(row, 64) for row in range(4)] == [6, 4, 0, 0]
    assert [found.learned(row, 8) for row in range(4)] == [4, 0, 0, 0]
    assert list(found.ordered) == [0, 10, 10, 100]
    assert list(found.unlearned) == [2, 3]
    assert (found.refused, found.refused_count) == ({3: "no system role"}, 1)


def test_refusals_are_all_counted_but_not_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_lengths, "MAX_REASONS", 2)
    found = Lengths()
    for _ in range(5):
        found.refuse("no")
    assert (len(found.tokens), found.refused, found.refused_count) == (5, {0: "no", 1: "no"}, 5)


def test_kept_and_read_again(tmp_path: Path) -> None:
    place = token_lengths.cache_path(tmp_path, "f", Columns(), "t", None)
    assert token_lengths.load(place) is None
    token_lengths.save(place, some())
    assert token_lengths.load(place) == token_lengths.load(place, 4) == some()
    assert token_lengths.load(place, 5) is None
    assert list(place.parent.iterdir()) == [place]
    whole = place.read_bytes()
    for data in (b"", whole[:20], b"\xff" * 100, whole.replace(b"tokens", b"tokans")):
        place.write_bytes(data)
        assert token_lengths.load(place) is None


def test_the_place_depends_on_all_that_changes_the_lengths(tmp_path: Path) -> None:
    places = {
        token_lengths.cache_path(tmp_path, *of)
        for of in (("f", Columns(), "t", None), ("g", Columns(), "t", None), ("f", Columns(text="x"), "t", None),
                   ("f", Columns(), "u", None), ("f", Columns(), "t", "Be brief."))
    }  # fmt: skip
    assert len(places) == 5


def test_the_oldest_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.dataset.kept.MAX_FILES", 3)
    places = [token_lengths.cache_path(tmp_path, str(number), Columns(), "t", None) for number in range(5)]
    for place in places:
        token_lengths.save(place, some())
    assert sorted(places[0].parent.iterdir()) == sorted(places[2:])
