"""How long rows are, kept and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.contract.dataset_table import Dataset
from training.dataset import lengths as token_lengths
from training.dataset.lengths import Lengths
from training.dataset.template_faults import TemplateFaults


def some() -> Lengths:
    found = Lengths(faults=TemplateFaults(reasoning_lost=3))
    for tokens, spans in ((10, [(4, 10)]), (100, [(20, 30), (60, 100)]), (10, [])):
        found.add([(tokens, spans)])
    found.refuse("no system role")
    found.add([(10, [(4, 10)]), (70, [(30, 50), (60, 70)])])  # a row of two sequences
    return found


def test_the_cut() -> None:
    found = some()
    assert [found.learned(row, 1000) for row in range(5)] == [6, 50, 0, 0, 36]
    assert [found.learned(row, 64) for row in range(5)] == [6, 14, 0, 0, 30]
    assert [found.learned(row, 8) for row in range(5)] == [4, 0, 0, 0, 4]
    assert [found.learned(row, 64, drops_long=True) for row in range(5)] == [6, 0, 0, 0, 6]
    assert [found.learned(row, 100, drops_long=True) for row in range(5)] == [6, 50, 0, 0, 36]
    assert list(found.ordered) == [10, 10, 10, 70, 100]
    assert list(found.longest) == [10, 100, 10, 0, 70]
    assert found.empty_rows == 1
    assert (found.refused, found.refused_count) == ({3: "no system role"}, 1)


def test_refusals_are_all_counted_but_not_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_lengths, "MAX_REASONS", 2)
    found = Lengths()
    for _ in range(5):
        found.refuse("no")
    assert (found.rows, found.refused, found.refused_count) == (5, {0: "no", 1: "no"}, 5)


def test_kept_and_read_again(tmp_path: Path) -> None:
    place = token_lengths.cache_path(tmp_path, "f", "t", Dataset())
    assert token_lengths.load(place) is None
    token_lengths.save(place, some())
    assert token_lengths.load(place) == token_lengths.load(place, 5) == some()
    assert token_lengths.load(place, 4) is None
    assert list(place.parent.iterdir()) == [place]
    whole = place.read_bytes()
    for data in (b"", whole[:20], b"\xff" * 100, whole.replace(b"tokens", b"tokans")):
        place.write_bytes(data)
        assert token_lengths.load(place) is None


def test_the_place_depends_on_all_that_changes_the_lengths(tmp_path: Path) -> None:
    places = {
        token_lengths.cache_path(tmp_path, *of)
        for of in (("f", "t", Dataset()), ("g", "t", Dataset()), ("f", "t", Dataset(text_column="x")),
                   ("f", "u", Dataset()), ("f", "t", Dataset(system_prompt="Be brief.")),
                   ("f", "t", Dataset(learn="last_answer")))
    }  # fmt: skip
    assert len(places) == 6
    assert token_lengths.cache_path(tmp_path, "f", "t", Dataset(long_rows="drop")) in places


def test_the_oldest_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.dataset.kept.MAX_FILES", 3)
    places = [token_lengths.cache_path(tmp_path, str(number), "t", Dataset()) for number in range(5)]
    for place in places:
        token_lengths.save(place, some())
    assert sorted(places[0].parent.iterdir()) == sorted(places[2:])
