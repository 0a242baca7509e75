"""What fits into a time limit, before the run starts."""

from __future__ import annotations

import time

import pytest

from codex_tui.data.time_fit import find_deadline, forecast_time_fit
from training.contract.profile import Profile
from training.dataset.split import Steps
from training.memory.speed import Speed

NOW = time.mktime((2026, 11, 28, 22, 30, 0, 0, 0, -1))
SEVEN = NOW + 8.5 * 3600
PROFILE = Profile.model_validate({"model": {"name": "-"}})
STEPS = Steps(per_epoch=4_017, total=4_017)


def fit(speed: Speed, deadline: float = SEVEN, eval_share: float = 0.0) -> str:
    tokens = 4_017 * 1_500.0
    return forecast_time_fit(PROFILE, STEPS, tokens, speed, deadline, eval_share=eval_share, now=NOW).describe(NOW)


@pytest.mark.parametrize(
    ("speed", "deadline", "sentence"),
    [
        (Speed(150, 150), SEVEN, "About 3,049 of 4,017 steps (76 % of the rows) fit until 07:00; from 2,744 to 3,355."),
        (Speed(100, 200), SEVEN, "About 2,875 of 4,017 steps (72 % of the rows) fit until 07:00; from 2,032 to 4,017."),
        (Speed(150, 400), SEVEN, "All 4,017 steps probably fit until 07:00; at least 3,049."),
        (Speed(400, 500), SEVEN, "All 4,017 steps fit until 07:00."),
        (Speed(150, 150), NOW + 150, "Only about 4 of 4,017 steps (0 % of the rows) fit until 22:32; from 4 to 5."),
        (Speed(150, 150), NOW + 80, "No step fits until 22:31: the model must be loaded, and the adapter saved."),
        (Speed(150, 150), NOW - 80, "No step fits until 22:28: the model must be loaded, and the adapter saved."),
    ],
)
def test_it_says_what_fits_until_when(speed: Speed, deadline: float, sentence: str) -> None:
    assert fit(speed, deadline) == sentence


def test_a_known_time_to_load_the_model_counts() -> None:
    fits = [
        forecast_time_fit(PROFILE, STEPS, 6e6, Speed(150, 150), SEVEN, loading=loading, now=NOW).steps
        for loading in (None, 60.0, 1_060.0)
    ]
    assert fits[0] == fits[1]
    assert 98 <= fits[1] - fits[2] <= 102


def test_evaluations_take_time_from_the_steps() -> None:
    assert fit(Speed(150, 150), eval_share=0.1).startswith("About 1,8")  # nine or ten evaluations of 134 steps each


def test_the_earlier_one_of_deadline_and_hours_rules() -> None:
    hours = PROFILE.with_value("training.max_hours", 2.0)
    assert find_deadline(PROFILE, None, NOW) is None
    assert find_deadline(PROFILE, SEVEN, NOW) == SEVEN
    assert find_deadline(hours, None, NOW) == find_deadline(hours, SEVEN, NOW) == NOW + 7_200
    assert find_deadline(hours, NOW + 60, NOW) == NOW + 60


def test_a_run_that_is_short_anyway_is_not_called_short() -> None:
    few = Steps(per_epoch=3, total=3)
    assert not forecast_time_fit(PROFILE, few, 3_000, Speed(150, 150), SEVEN, now=NOW).is_short
    assert forecast_time_fit(PROFILE, few, 30_000, Speed(150, 150), NOW + 90, now=NOW).is_short
