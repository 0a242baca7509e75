"""Which rows are held out."""

from __future__ import annotations

import pytest

from training.contract.profile import Profile
from training.dataset.split import choose_eval_rows, count_train_rows


def profile(**dataset: object) -> Profile:
    return Profile.model_validate({"model": {"name": "-"}, "dataset": dataset})


@pytest.mark.parametrize(("most", "count"), [(200, 30), (4, 4)])
def test_the_evaluation_rows_are_those_of_the_validation_split(most: int, count: int) -> None:
    settings = profile(max_eval_rows=most)
    held = choose_eval_rows(100, settings, validation=30)
    assert len(held) == count
    assert held <= set(range(70, 100))
    assert held == choose_eval_rows(100, settings, validation=30)
    assert count_train_rows(100, settings, validation=30) == 70


def test_without_an_evaluation_the_validation_split_is_not_trained_on_either() -> None:
    settings = profile(eval_fraction=0.0)
    assert choose_eval_rows(100, settings, validation=30) == set()
    assert count_train_rows(100, settings, validation=30) == 70
    assert count_train_rows(100, settings) == 100


def test_without_a_validation_split_a_share_is_held_out() -> None:
    assert len(choose_eval_rows(100, profile())) == 5
    assert count_train_rows(100, profile()) == 95
