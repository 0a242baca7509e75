"""Compares two models on the same questions: intervals by a paired bootstrap, and an exact sign test.

In plain Python, because the app has no numpy: 10,000 draws from 200 questions take about a quarter of a second.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import comb, exp, sqrt
from statistics import NormalDist

from training.contract.judgement import Difference

DRAWS = 10_000
SEED = 15
CONFIDENCE = 0.95
MAX_LOSS = 690.0  # its perplexity is a number that a file can hold


def compare(
    differences: Sequence[float],
    better: Sequence[int],
    weights: Sequence[float] | None = None,
    *,
    is_share: bool = False,
) -> Difference:
    """Compare two models by the difference of each question. `better` is 1 where the adapter is better, -1 where it is
    worse, else 0. The estimate is the mean, by `weights` if there are any. `is_share`: each difference is 1, 0 or -1.
    """
    equal = is_share and min(differences) == max(differences)
    low, high = _find_bounds(differences[0], len(differences)) if equal else bootstrap(differences, weights)
    wins, losses = better.count(1), better.count(-1)
    return Difference(
        estimate=_average(differences, weights),
        low=low,
        high=high,
        wins=wins,
        losses=losses,
        ties=len(better) - wins - losses,
        p=sign_test(wins, losses),
    )


def bootstrap(
    differences: Sequence[float], weights: Sequence[float] | None = None, draws: int = DRAWS, seed: int = SEED
) -> tuple[float, float]:
    """Return the interval that encloses the true mean difference with a probability of 95 %.

    It is the expanded percentile interval (Hesterberg 2015): the plain one is too narrow for few questions.
    """
    count = len(differences)
    if count < 2 or min(differences) == max(differences):
        mean = _average(differences, weights)
        return mean, mean
    choose = random.Random(seed).choices
    if weights is None:
        means = sorted(sum(choose(differences, k=count)) / count for _ in range(draws))
    else:  # a complex number holds two sums, so one pass adds up both
        pairs = [complex(value * weight, weight) for value, weight in zip(differences, weights, strict=True)]
        sums = (sum(choose(pairs, k=count)) for _ in range(draws))
        means = sorted(total.real / total.imag for total in sums)
    tail = _find_tail(count)
    return _find_quantile(means, tail), _find_quantile(means, 1 - tail)


def _find_bounds(difference: float, count: int) -> tuple[float, float]:
    """The exact interval (Clopper and Pearson) where all differences are the same: draws from them show no doubt."""
    share = ((1 - CONFIDENCE) / 2) ** (1 / count)
    if difference:
        return (share, 1.0) if difference > 0 else (-1.0, -share)
    return share - 1, 1 - share


def sign_test(wins: int, losses: int) -> float:
    """Return the probability of so uneven a count of wins and losses if both models were equally good (two-sided)."""
    total, fewer = wins + losses, min(wins, losses)
    one_side = sum(comb(total, count) for count in range(fewer + 1)) / 2**total
    return min(1.0, 2 * one_side)


def compute_perplexity(loss: float) -> float:
    return exp(min(loss, MAX_LOSS))


def _average(differences: Sequence[float], weights: Sequence[float] | None) -> float:
    if weights is None:
        return sum(differences) / len(differences)
    return sum(d * w for d, w in zip(differences, weights, strict=True)) / sum(weights)


def _find_tail(count: int) -> float:
    """Return the share of draws to leave out at each side: less than 2.5 %, since a sample of `count` varies less than
    what it was drawn from, and its spread is itself an estimate."""
    normal = NormalDist()
    z = normal.inv_cdf((1 + CONFIDENCE) / 2)
    freedom = count - 1
    # Student's t, by the expansion of Cornish and Fisher.
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return normal.cdf(-t * sqrt(count / freedom))


def _find_quantile(ordered: Sequence[float], share: float) -> float:
    place = share * (len(ordered) - 1)
    before = int(place)
    after = min(before + 1, len(ordered) - 1)
    return ordered[before] + (ordered[after] - ordered[before]) * (place - before)
