"""How the rows of a step share passes, and how full the passes are."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.contract.profile import Profile
from training.dataset.passes import (
    choose_usual_batch,
    count_timed_rows,
    draw_usual_batches,
    estimate_pass_use,
    group_rows,
)


def profile(batch: int, accumulation: int, **dataset: Any) -> Profile:
    training = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": accumulation, "warmup_steps": 0}
    return Profile.model_validate(
        {"model": {"name": "-", "max_seq_length": 100}, "training": training, "dataset": dataset}
    )


@given(st.lists(st.integers(1, 120), max_size=40))
def test_every_row_is_in_one_pass_that_holds_it(lengths: list[int]) -> None:
    groups = group_rows(lengths, 100)
    assert sorted(row for group in groups for row in group) == [*range(len(lengths))]
    for group in groups:
        assert len(group) == 1 or sum(lengths[row] for row in group) <= 105


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [
        ([50, 52], [102]),  # 5 % longer saves a pass
        ([50, 56], [56, 50]),  # more than that is a pass of its own
        ([60, 44, 60, 44, 60], [104, 104, 60]),
        ([60, 46, 60, 60, 30], [60, 60, 90, 46]),  # a longer pass would save none
    ],
)
def test_a_pass_is_longer_only_where_that_saves_one(lengths: list[int], sizes: list[int]) -> None:
    groups = group_rows(lengths, 100)
    assert sorted(sum(lengths[row] for row in group) for group in groups) == sorted(sizes)


@pytest.mark.parametrize(
    ("lengths", "batch", "accumulation", "per_step", "fill"),
    [
        ({25: 40}, 1, 4, 1.0, 1.0),  # four rows fill a pass
        ({10: 40}, 1, 4, 1.0, 0.4),
        ({60: 40}, 1, 4, 4.0, 0.6),  # no two rows fit together
        ({60: 40}, 2, 4, 8 / 3, 0.9),  # three rows in a pass of 200 tokens
        ({500: 40}, 1, 4, 4.0, 1.0),  # cut at 100
        ({10: 2}, 1, 4, 1.0, 0.2),  # fewer rows than a step has
        ({0: 7, 25: 40}, 1, 4, 1.0, 1.0),  # refused rows have no tokens
    ],
)
def test_passes_of_equal_rows(
    lengths: dict[int, int], batch: int, accumulation: int, per_step: float, fill: float
) -> None:
    use = estimate_pass_use(Counter(lengths), profile(batch, accumulation))
    assert use is not None
    assert use.per_step == pytest.approx(per_step, rel=0.15)
    assert use.fill == pytest.approx(fill, rel=0.15)


def test_rows_that_are_dropped_take_no_pass() -> None:
    use = estimate_pass_use(Counter({25: 40, 500: 1000}), profile(1, 4, long_rows="drop"))
    assert use == (1.0, 1.0)


def test_nothing_is_said_of_unpacked_rows_or_of_none() -> None:
    packed = profile(1, 4)
    unpacked = packed.model_copy(update={"training": packed.training.model_copy(update={"packing": "off"})})
    assert estimate_pass_use(Counter({25: 40}), unpacked) is None
    assert estimate_pass_use(Counter(), packed) is None
    assert estimate_pass_use(Counter({0: 3}), packed) is None


def pack(lengths: list[int], limit: int) -> list[list[int]]:
    packed: list[list[int]] = []
    for tokens in sorted(lengths, reverse=True):
        with_room = [group for group in packed if sum(group) + tokens <= limit]
        if with_room:
            max(with_room, key=sum).append(tokens)
        else:
            packed.append([tokens])
    return packed


@given(st.lists(st.integers(1, 120), max_size=40))
def test_a_row_joins_the_fullest_pass_that_has_room(lengths: list[int]) -> None:
    sizes = [[lengths[row] for row in group] for group in group_rows(lengths, 100)]
    assert sizes == min(pack(lengths, 100), pack(lengths, 105), key=len)


def test_the_drawn_batches_are_as_long_as_batches_of_training_are_on_average() -> None:
    """One row of a hundred is very long: it makes the largest pass, and says little about the others."""
    lengths = [100] * 99 + [2000]
    packed = draw_usual_batches(lengths, 8, is_padded=False, number=4)
    assert [len(set(batch)) for batch in packed] == [8] * 4
    assert {sum(lengths[place] for place in batch) for batch in packed} == {800}
    assert draw_usual_batches(lengths, 8, is_padded=False, number=4) == packed  # on each rank
    spread = list(range(1, 101))
    for batch in draw_usual_batches(spread, 4, is_padded=True, number=3):
        assert max(spread[place] for place in batch) == pytest.approx(80.8, abs=4)  # the mean of the longest of four
    assert draw_usual_batches([5, 7], 8, is_padded=True, number=1) in ([[0, 1]], [[1, 0]])


@pytest.mark.parametrize(
    ("lengths", "size", "pass_tokens", "rows"),
    [
        ([25] * 100, 64, 100, 4),
        ([10, 40] * 50, 64, 100, 4),
        ([60] * 100, 64, 100, 1),
        ([150] * 100, 64, 100, 1),
        ([25] * 100, 2, 100, 2),
        ([25] * 3, 64, 1000, 3),
        ([25] * 100, 64, None, 64),
        ([25] * 3, 64, None, 3),
    ],
)
def test_of_packed_rows_only_one_pass_is_timed(
    lengths: list[int], size: int, pass_tokens: int | None, rows: int
) -> None:
    assert count_timed_rows(lengths, size, pass_tokens) == rows


def test_the_batch_of_an_evaluation_is_one_that_it_will_have() -> None:
    lengths = [10, 10, 50, 50, 30, 30, 90]
    assert choose_usual_batch(lengths, 2, is_padded=False) == [4, 5]  # the means are 20, 100, 60 and 90 tokens
    assert choose_usual_batch(lengths, 2, is_padded=True) == [4, 5]
    assert choose_usual_batch(lengths, 64, is_padded=False) == [*range(7)]
