"""The steps of a run, and whether its loss is logged often enough."""

from __future__ import annotations

import pytest

from training.contract.profile import Profile
from training.dataset.split import find_sparse_logging


@pytest.mark.parametrize(
    ("every", "steps", "message", "advised"),
    [
        (1, 1, None, None),
        (50, 50, None, None),
        (50, 0, None, None),  # there are no rows, which is another problem
        (50, 1, "The loss is logged every 50 steps, and the run has 1 step: it shows one loss, at the end.", 1),
        (
            5000,
            1200,
            "The loss is logged every 5,000 steps, and the run has 1,200 steps: it shows one loss, at the end.",
            24,
        ),
    ],
)
def test_a_run_that_ends_before_its_first_loss_is_logged(
    every: int, steps: int, message: str | None, advised: int | None
) -> None:
    profile = Profile.model_validate({"model": {"name": "a"}, "training": {"logging_steps": every}})
    sparse = find_sparse_logging(profile, steps)
    if message is None:
        assert sparse is None
    else:
        assert sparse == (message, f"To see the loss fall, set training.logging_steps = {advised}.")
