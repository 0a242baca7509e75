"""The benchmark of several cards: which numbers of cards it takes, and on which cards it trains them."""

from __future__ import annotations

import importlib
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, without a model and without rows."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("PYTHONPATH", "")  # which the script changes
    script = importlib.import_module("ranks")
    for name in ("write_model", "write_rows", "CardMemory"):
        monkeypatch.setattr(script, name, lambda *_: None)
    return script


def call(ranks: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[list[int]]:
    """Call the script. Returns the cards of each training, in their order; the last one is compared with one card."""
    trained: list[list[int]] = []
    at_work: set[int] = set()
    lock = threading.Lock()

    def measure(work: Path, cards: list[int], *_: Any) -> int:
        with lock:
            assert not at_work & {*cards}, "two trainings had the same card"
            at_work.update(cards)
            trained.append(cards)
        with lock:
            at_work.difference_update(cards)
        return len(cards)

    def compare(work: Path, cards: list[int], steps: int, one: int) -> None:
        assert one == 1
        trained.append(cards)

    monkeypatch.setattr(ranks, "measure", measure)
    monkeypatch.setattr(ranks, "compare", compare)
    monkeypatch.setattr("sys.argv", ["ranks.py", *arguments])
    ranks.main()
    return trained


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["2", "3", "4"], "give 1 and a larger number of cards"),
        (["2"], "give 1 and a larger number of cards"),
        (["1"], "give 1 and a larger number of cards"),
        (["0", "1"], "at least 1"),
        (["1", "2", "--pairs", "0"], "at least 1"),
    ],
)
def test_numbers_that_can_not_be_compared_are_refused(
    ranks: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    problem: str,
) -> None:
    with pytest.raises(SystemExit) as refused:
        call(ranks, monkeypatch, *arguments)
    assert refused.value.code == 2
    assert problem in capsys.readouterr().err


def test_numbers_that_fit_beside_each_other_have_cards_of_their_own(
    ranks: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    *small, largest, compared = call(ranks, monkeypatch, "4", "1", "2", "1")
    assert sorted(small) == [[0], [1, 2]]
    assert largest == compared == [0, 1, 2, 3]


def test_numbers_that_do_not_fit_train_one_after_the_other(ranks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(ranks, monkeypatch, "1", "2", "3", "4") == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3]]


def test_pairs_take_any_number_of_cards(ranks: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call(ranks, monkeypatch, "2", "--pairs", "2") == [[0, 1], [0, 1]]
