"""The intervals and the sign test: against simulation, and against known values."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import comb

import pytest

from codex_tui.judge.statistics import bootstrap, compare, compute_perplexity, sign_test

SAMPLES, QUESTIONS, DRAWS = 1_000, 40, 250


def draw_passes(chance: random.Random) -> float:
    """A question that the adapter alone passes with 40 %, and base alone with 10 %."""
    return chance.choices((1.0, 0.0, -1.0), (0.4, 0.5, 0.1))[0]


@pytest.mark.parametrize(
    ("draw", "truth"), [(draw_passes, 0.3), (lambda chance: chance.gauss(0.2, 1.0), 0.2)], ids=["passes", "losses"]
)
def test_the_interval_covers_the_truth_in_95_of_100_samples(
    draw: Callable[[random.Random], float], truth: float
) -> None:
    chance, covered = random.Random(3), 0
    for sample in range(SAMPLES):
        low, high = bootstrap([draw(chance) for _ in range(QUESTIONS)], draws=DRAWS, seed=sample)
        covered += low <= truth <= high
    assert 0.93 <= covered / SAMPLES <= 0.97


def test_the_interval_is_the_same_each_time_and_weights_count() -> None:
    values = [1.0, 0.0, 0.0, 1.0, -1.0, 1.0, 1.0, 0.0]
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap(values, [2.0] * len(values)) == pytest.approx(bootstrap(values))
    weighted = compare(values, [1, 0, 0, 1, -1, 1, 1, 0], [1.0] * 7 + [9.0])
    assert weighted.estimate == pytest.approx(3 / 16)
    assert weighted.low < weighted.estimate < weighted.high
    assert (weighted.wins, weighted.losses, weighted.ties) == (4, 1, 3)


def test_equal_differences_still_leave_doubt_about_passes() -> None:
    """24 of 24 does not mean that every question of this kind would pass."""
    every = compare([1.0] * 24, [1] * 24, is_share=True)
    assert every.low == pytest.approx(0.025 ** (1 / 24))
    assert (every.estimate, every.high) == (1, 1)
    none = compare([0.0] * 24, [0] * 24, is_share=True)
    assert (none.low, none.high) == pytest.approx((-0.1425, 0.1425), abs=1e-4)
    assert compare([-1.0] * 4, [-1] * 4, is_share=True).high == pytest.approx(-(0.025**0.25))


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [(0, 0, 1.0), (5, 0, 2 / 32), (6, 0, 2 / 64), (3, 3, 1.0), (12, 2, 2 * sum(comb(14, k) for k in range(3)) / 2**14)],
)
def test_the_sign_test_is_exact(wins: int, losses: int, p: float) -> None:
    assert sign_test(wins, losses) == pytest.approx(p)
    assert sign_test(losses, wins) == pytest.approx(p)


def test_a_perplexity_never_overflows() -> None:
    assert compute_perplexity(0.0) == 1.0
    assert 1e299 < compute_perplexity(1e6) < 1e300
