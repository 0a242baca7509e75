"""Sets Unsloth's page-locked memory to what the machine gives, before Unsloth asks for more and dies of it."""

from __future__ import annotations

import os

from training.contract.profile import Profile
from training.memory.forecast import KEPT_ON_CARD, MIB, SHORTEST_PARKED, SMALLEST_PARKED, streamed_bytes
from training.memory.model_shape import ModelShape
from training.memory.pinned_memory import PinnedUnknown, lockable_mib

ENOUGH = 0.95  # of what was found is used: others lock memory too
SLOWLY = "moves more slowly, and steps take longer."


def limit_pinned_memory(profile: Profile, shape: ModelShape) -> str | None:
    """Limits page-locked memory to hardware.pinned_limit_mib and to what can be had. Returns a sentence for the person
    where that is less than the run would use, else None.

    Unsloth locks offloaded layers in one piece, for which it has no limit but all or nothing: where they don't fit into
    the given limit, nothing is locked. Where the machine refuses that piece, Unsloth does without by itself.
    """
    parked, block = parked_mib(profile, shape)
    streamed = streamed_mib(profile, shape)
    given = profile.hardware.pinned_limit_mib
    if not parked and not streamed:
        return None
    if given is not None and given < max(streamed, block):
        os.environ["UNSLOTH_DISABLE_PINNED_MEMORY"] = "1"
        return f"No host memory is page-locked, as hardware.pinned_limit_mib asks: what waits on the host {SLOWLY}"
    if not parked:
        return None
    try:
        found = lockable_mib(parked, block)
    except PinnedUnknown:
        return None
    allowed = found if given is None else min(found, given - streamed)
    if allowed < block:
        os.environ["UNSLOTH_DISABLE_PINNED_MEMORY"] = "1"
        return f"No host memory can be page-locked here: what waits on the host {SLOWLY}"
    if allowed < parked:
        os.environ["UNSLOTH_GC_PINNED_MAX_GB"] = f"{ENOUGH * allowed / 1024:.3f}"
        return f"{allowed:,.0f} of {parked:,.0f} MiB that the run would page-lock are to be had: the rest {SLOWLY}"
    return None


def parked_mib(profile: Profile, shape: ModelShape) -> tuple[float, float]:
    """What "unsloth" checkpointing parks on the host, and the size of each of its blocks: one for the input of every
    layer, rounded up to a power of two."""
    tokens = profile.model.max_seq_length * profile.training.per_device_train_batch_size
    size = 2 * tokens * shape.hidden_size
    short = profile.model.max_seq_length < SHORTEST_PARKED or size <= SMALLEST_PARKED
    if profile.training.gradient_checkpointing != "unsloth" or short:
        return 0.0, 0.0
    block = 1 << (size - 1).bit_length()
    return max(1, shape.num_hidden_layers - KEPT_ON_CARD + 3) * block / MIB, block / MIB


def streamed_mib(profile: Profile, shape: ModelShape) -> float:
    """The weights of the offloaded layers."""
    layers = profile.model.offload_layers
    return 0.0 if layers == "auto" else layers * streamed_bytes(profile, shape) / MIB
