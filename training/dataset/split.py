"""How a dataset is divided: the rows held out for evaluation, and the number of optimizer steps."""

from __future__ import annotations

import random
from math import ceil
from typing import NamedTuple

from training.contract.profile import Profile


class Steps(NamedTuple):
    """Numbers of optimizer steps."""

    per_epoch: int
    total: int


class SparseLogging(NamedTuple):
    """A warning, and how to follow the run more closely."""

    message: str
    remedy: str


def choose_eval_rows(rows: int, profile: Profile, validation: int = 0) -> set[int]:
    """Choose the evaluation rows among `rows` good rows, by position. The same seed chooses the same rows, and at least
    one row is left for training.

    The last `validation` of the rows are those of a validation split, if the dataset has one. Then all evaluation rows
    are among these, and none of these is trained on.
    """
    settings = profile.dataset
    if settings.eval_fraction == 0 or rows < 2:
        return set()
    if validation:
        count = min(settings.max_eval_rows, validation)
        return set(random.Random(profile.training.seed).sample(range(rows - validation, rows), count))
    count = min(settings.max_eval_rows, max(1, round(rows * settings.eval_fraction)), rows - 1)
    return set(random.Random(profile.training.seed).sample(range(rows), count))


def count_train_rows(rows: int, profile: Profile, validation: int = 0) -> int:
    """Count the training rows among `rows` good rows. See `choose_eval_rows`."""
    return rows - (validation or len(choose_eval_rows(rows, profile)))


def count_steps(profile: Profile, rows: int) -> Steps:
    """Count the optimizer steps for `rows` training rows, as `transformers.Trainer` counts them."""
    training = profile.training
    batches = ceil(rows / training.per_device_train_batch_size)
    per_epoch = ceil(batches / (profile.process_accumulation_steps * profile.ranks))
    return Steps(per_epoch, training.max_steps or ceil(per_epoch * training.num_train_epochs))


def choose_eval_steps(profile: Profile, total_steps: int) -> int:
    """Return the number of steps between two evaluations: those of the profile, else a tenth of the run."""
    return profile.evaluation.eval_steps or max(1, total_steps // 10)


def choose_save_steps(profile: Profile, total_steps: int) -> int:
    """Return the number of steps between two checkpoints: those of the profile, else a fifth of the run."""
    return profile.checkpoints.save_steps or max(1, total_steps // 5)


def find_sparse_logging(profile: Profile, total_steps: int) -> SparseLogging | None:
    """Find out whether a run of `total_steps` is over before its loss is logged for the first time."""
    every = profile.training.logging_steps
    if not 0 < total_steps < every:
        return None
    steps = f"{total_steps:,} step{'s' if total_steps > 1 else ''}"
    return SparseLogging(
        f"The loss is logged every {every:,} steps, and the run has {steps}: it shows one loss, at the end.",
        f"To see the loss fall, set training.logging_steps = {max(1, total_steps // 50)}.",
    )
