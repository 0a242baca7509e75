"""Sets Unsloth's page-locked memory to what the machine gives, before Unsloth asks for more and dies of it."""

from __future__ import annotations

import os

from training.contract.forecast import KEPT_ON_CARD
from training.contract.model_shape import ModelShape
from training.contract.pinned_memory import PinnedUnknown, lockable_mib
from training.contract.profile import Profile

MIB = 2**20
ENOUGH = 0.95  # of what was found is used: others lock memory too


def prepare(profile: Profile, shape: ModelShape) -> str | None:
    """Limits page-locked memory to hardware.pinned_limit_mib and to what can be had. Returns a sentence for the person
    where that is less than the run would use, else None."""
    needed, block = parked_mib(profile, shape)
    given = profile.hardware.pinned_limit_mib
    if profile.training.gradient_checkpointing != "unsloth" and not profile.model.offload_layers and given is None:
        return None
    try:
        found = lockable_mib(needed, block) if given != 0 else 0.0
    except PinnedUnknown:
        return None
    allowed = found if given is None else min(found, float(given))
    if allowed < block:
        os.environ["UNSLOTH_DISABLE_PINNED_MEMORY"] = "1"
        return "No host memory is page-locked: what is parked on the host moves slowly, and steps take longer."
    if allowed < needed:
        os.environ["UNSLOTH_GC_PINNED_MAX_GB"] = f"{ENOUGH * allowed / 1024:.3f}"
        return (
            f"{allowed:,.0f} of the {needed:,.0f} MiB that the run would page-lock are to be had here; the rest moves "
            "more slowly."
        )
    return None


def parked_mib(profile: Profile, shape: ModelShape) -> tuple[float, float]:
    """What "unsloth" checkpointing parks on the host, and the size of each of its blocks: one for the input of every
    layer, rounded up to a power of two."""
    tokens = profile.model.max_seq_length * profile.training.per_device_train_batch_size
    block = 1 << max(0, (2 * tokens * shape.hidden_size - 1).bit_length())
    return max(1, shape.num_hidden_layers - KEPT_ON_CARD + 3) * block / MIB, block / MIB
