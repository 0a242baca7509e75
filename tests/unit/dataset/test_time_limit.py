"""How many steps fit into a time."""

from __future__ import annotations

import pytest

from training.dataset.time_limit import Durations, count_fitting_steps


@pytest.mark.parametrize(
    ("seconds", "done", "fitting"),
    [
        (0, 0, 0),
        (14, 0, 0),  # the end takes 5 seconds, and a step 10
        (15, 0, 1),
        (105, 0, 10),  # the evaluation after step 10 is a part of the end
        (130, 0, 10),
        (135, 0, 11),  # 110 for the steps, 20 for an evaluation, 5 for the end
        (160, 7, 20),
        (10**9, 7, 4_000),
        (-5, 7, 7),
    ],
)
def test_evaluations_and_the_end_take_their_time_from_the_steps(seconds: float, done: int, fitting: int) -> None:
    durations = Durations(step=10, evaluation=20, end=5)
    assert count_fitting_steps(seconds, durations, 4_000, done=done, eval_steps=10) == fitting


def test_checkpoints_take_time_too_and_nothing_happens_every_0_steps() -> None:
    durations = Durations(step=10, evaluation=20, checkpoint=40, end=5)
    assert count_fitting_steps(305, durations, 100) == 30
    assert count_fitting_steps(305, durations, 100, save_steps=10) == 22
