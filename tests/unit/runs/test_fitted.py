"""The sentence about a run that is fitted to its time limit."""

from __future__ import annotations

import time

import pytest

from codex_tui.runs.fitted import describe_fit
from training.contract import events as ev

NOW = time.mktime((2026, 11, 28, 22, 30, 0, 0, 0, -1))


@pytest.mark.parametrize(
    ("total", "deadline", "sentence"),
    [
        (2_900, NOW + 8.5 * 3600, "2,900 of 4,017 steps fit until 07:00 (72 %)"),
        (2_900, NOW + 32.5 * 3600, "2,900 of 4,017 steps fit until 2026-11-30 07:00 (72 %)"),
        (4_017, NOW + 8.5 * 3600, "all 4,017 steps fit until 07:00"),
        (4_017, None, "all 4,017 steps fit"),
    ],
)
def test_it_says_how_many_steps_fit_and_until_when(total: int, deadline: float | None, sentence: str) -> None:
    assert describe_fit(ev.Fitted(total_steps=total, planned_steps=4_017, deadline=deadline), NOW) == sentence
