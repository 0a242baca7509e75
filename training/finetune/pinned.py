"""Limits Unsloth's page-locked memory to what the machine allows. Unsloth itself would ask for more and fail."""

from __future__ import annotations

import os

from training.contract.profile import Profile
from training.contract.units import MIB
from training.memory.activations import INPUTS_ON_GPU, MIN_PARKED_BYTES, MIN_PARKED_TOKENS
from training.memory.forecast import streamed_bytes
from training.memory.model_shape import ModelShape
from training.memory.pinned_memory import PinnedUnknown, lockable_mib

SAFE_SHARE = 0.95  # use this share of what the machine allows: other programs lock memory too
SLOWER = "Steps take longer, because data moves between the GPU and host memory more slowly."


def limit_pinned_memory(profile: Profile, shape: ModelShape) -> str | None:
    """Limit page-locked memory to hardware.pinned_limit_mib and to what the machine allows.

    Returns a warning if that is less than the run would use, else None.

    Unsloth locks all offloaded layers in one piece, and has no limit for it: if they don't fit into the profile's
    limit, nothing is locked. If the machine refuses to lock that piece, Unsloth works without by itself.
    """
    parked, block = parked_mib(profile, shape)
    streamed = streamed_mib(profile, shape)
    limit = profile.hardware.pinned_limit_mib
    if not parked and not streamed:
        return None
    if limit is not None and limit < max(streamed, block):
        os.environ["UNSLOTH_DISABLE_PINNED_MEMORY"] = "1"
        return f"No host memory is page-locked (hardware.pinned_limit_mib). {SLOWER}"
    if not parked:
        return None
    try:
        available = lockable_mib(parked, block)
    except PinnedUnknown:
        return None
    allowed = available if limit is None else min(available, limit - streamed)
    if allowed < block:
        os.environ["UNSLOTH_DISABLE_PINNED_MEMORY"] = "1"
        return f"This machine does not allow page-locked host memory. {SLOWER}"
    if allowed < parked:
        os.environ["UNSLOTH_GC_PINNED_MAX_GB"] = f"{SAFE_SHARE * allowed / 1024:.3f}"
        return f"Only {allowed:,.0f} of {parked:,.0f} MiB of host memory can be page-locked. {SLOWER}"
    return None


def parked_mib(profile: Profile, shape: ModelShape) -> tuple[float, float]:
    """Compute how much "unsloth" checkpointing parks in host memory, and the size of one of its blocks, in MiB.

    There is one block for the input of each layer, and its size is rounded up to a power of two.
    """
    tokens = profile.model.max_seq_length * profile.pass_rows
    size = 2 * tokens * shape.hidden_size
    too_small = profile.model.max_seq_length < MIN_PARKED_TOKENS or size <= MIN_PARKED_BYTES
    if profile.training.gradient_checkpointing != "unsloth" or too_small:
        return 0.0, 0.0
    block = 1 << (size - 1).bit_length()
    return max(1, shape.num_hidden_layers - INPUTS_ON_GPU + 3) * block / MIB, block / MIB


def streamed_mib(profile: Profile, shape: ModelShape) -> float:
    """Compute the size of the offloaded layers' weights."""
    layers = profile.model.offload_layers
    return 0.0 if layers == "auto" else layers * streamed_bytes(profile, shape) / MIB
