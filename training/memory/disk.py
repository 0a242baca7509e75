"""Forecasts how much disk space a run needs, as a pure function of the profile and the model's shape.

The constants were measured on runs of the demo, and on the tokenizers of the models in the shipped profiles.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.contract.profile import Profile
from training.contract.units import MIB
from training.memory.forecast import optimizer_bytes, trainable_tensors
from training.memory.model_shape import ModelShape

# Bytes:
TOKENIZER_PER_TOKEN = 130  # in tokenizer.json, for a large vocabulary; a small one needs less per token
SMALL_FILES = 32 * 1024  # in a checkpoint: model card, random state, scheduler state, arguments
STATE_PER_LOGGED_STEP = 350  # in trainer_state.json of every checkpoint
EVENTS_PER_LOGGED_STEP = 300  # in events.jsonl
LOG = 512 * 1024  # trainer.log, and the space reserved for the last event

ASSUMED_STEPS = 1000  # if the number of steps depends on the dataset


@dataclass(frozen=True)
class DiskNeed:
    """Sizes in MiB. `checkpoints` is the largest number at one time: those kept, and the one being written."""

    checkpoint_mib: float
    checkpoints: int
    adapter_mib: float
    log_mib: float

    @property
    def total_mib(self) -> float:
        return self.checkpoint_mib * self.checkpoints + self.adapter_mib + self.log_mib


def disk_need(profile: Profile, shape: ModelShape, *, on_cpu: bool = False) -> DiskNeed:
    """Forecast what the run writes into its directory. On a CPU Unsloth always uses plain AdamW."""
    sizes = list(trainable_tensors(profile, shape))
    # Paging an optimizer's state changes where it is in memory, but not its size on disk.
    optim = "adamw_torch" if on_cpu else profile.training.optim.removeprefix("paged_")
    adapter = 4 * sum(sizes) + TOKENIZER_PER_TOKEN * shape.vocab_size
    logged = (profile.training.max_steps or ASSUMED_STEPS) / profile.training.logging_steps
    checkpoint = adapter + optimizer_bytes(sizes, optim) + SMALL_FILES + STATE_PER_LOGGED_STEP * logged
    kept = profile.checkpoints.save_total_limit + bool(profile.evaluation.patience)  # early stopping keeps the best too
    log = EVENTS_PER_LOGGED_STEP * logged + LOG
    return DiskNeed(checkpoint / MIB, kept + 1, adapter / MIB, log / MIB)
