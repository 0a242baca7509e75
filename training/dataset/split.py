"""How a dataset is divided: rows held out for the evaluation loss, and optimizer steps."""

from __future__ import annotations

import random
from math import ceil

from training.contract.profile import Profile


def held_out(rows: int, profile: Profile) -> set[int]:
    """Positions, out of `rows` good ones, of those kept for evaluation: never all, and the same for the same seed."""
    settings = profile.dataset
    if settings.eval_fraction == 0 or rows < 2:
        return set()
    count = min(settings.max_eval_rows, max(1, round(rows * settings.eval_fraction)), rows - 1)
    return set(random.Random(profile.training.seed).sample(range(rows), count))


def steps_of(profile: Profile, rows: int) -> tuple[int, int]:
    """Optimizer steps per epoch and in all, counted as `transformers.Trainer` does."""
    training = profile.training
    batches = ceil(rows / training.per_device_train_batch_size)
    per_epoch = ceil(batches / training.gradient_accumulation_steps)
    return per_epoch, training.max_steps or ceil(per_epoch * training.num_train_epochs)
