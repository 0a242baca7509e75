"""How much disk a run will take, before anything is written: a pure function of profile and model shape.

The numbers in capitals were measured on runs of the demo and on the tokenizers of the shipped profiles' models.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.contract.profile import Profile
from training.memory.forecast import MIB, optimizer_bytes, trainable_tensors
from training.memory.model_shape import ModelShape

TOKEN = 130  # bytes of tokenizer.json for each token of a large vocabulary; a small one needs less
SMALL_FILES = 32 * 1024  # of a checkpoint: its card, the random and the scheduler's state, the arguments
LOGGED_STEP = 350  # bytes of trainer_state.json for each logged step, in every checkpoint
EVENTS_OF_STEP, FURTHER_LOG = 300, 512 * 1024  # of events.jsonl; and the log, and room kept for the last event
STEPS = 1000  # where the profile leaves their number to the dataset


@dataclass(frozen=True)
class DiskNeed:
    """MiB. `checkpoints` is how many lie there at the most: those that are kept, and one that is being written."""

    checkpoint_mib: float
    checkpoints: int
    adapter_mib: float
    log_mib: float

    @property
    def total_mib(self) -> float:
        return self.checkpoint_mib * self.checkpoints + self.adapter_mib + self.log_mib


def disk_need(profile: Profile, shape: ModelShape, *, on_cpu: bool = False) -> DiskNeed:
    """What the run writes into its directory. `on_cpu`: Unsloth takes plain AdamW there, whatever was asked."""
    sizes = list(trainable_tensors(profile, shape))
    # On disk, where the moments of a paged optimiser lie makes no difference.
    optim = "adamw_torch" if on_cpu else profile.training.optim.removeprefix("paged_")
    adapter = 4 * sum(sizes) + TOKEN * shape.vocab_size
    logged = (profile.training.max_steps or STEPS) / profile.training.logging_steps
    checkpoint = adapter + optimizer_bytes(sizes, optim) + SMALL_FILES + LOGGED_STEP * logged
    kept = profile.checkpoints.save_total_limit + bool(profile.evaluation.patience)  # the best is kept besides
    log = EVENTS_OF_STEP * logged + FURTHER_LOG
    return DiskNeed(checkpoint / MIB, kept + 1, adapter / MIB, log / MIB)
