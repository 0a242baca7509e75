"""Which rows are held out for the evaluation loss."""

from __future__ import annotations

import random

from training.contract.profile import Profile


def held_out(rows: int, profile: Profile) -> set[int]:
    """Positions, out of `rows` good ones, of those kept for evaluation: never all, and the same for the same seed."""
    settings = profile.dataset
    if settings.eval_fraction == 0 or rows < 2:
        return set()
    count = min(settings.max_eval_rows, max(1, round(rows * settings.eval_fraction)), rows - 1)
    return set(random.Random(profile.training.seed).sample(range(rows), count))
