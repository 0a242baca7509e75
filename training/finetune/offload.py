"""model.offload_layers = "auto": as many layers as the forecast asks for, and no more. Unsloth's own planner keeps a
reserve of about 2 GiB free, which a 4 GB card does not have."""

from __future__ import annotations

from training.contract.profile import Profile
from training.finetune.vram import VramLimit
from training.memory.forecast import fewest_layers
from training.memory.model_shape import ModelShape


def chosen(profile: Profile, shape: ModelShape | None, limit: VramLimit) -> Profile:
    """`profile` with a number in place of "auto"; unchanged where it has one, or where there is no card.

    Of a model whose shape is not known, Unsloth's planner decides.
    """
    if profile.model.offload_layers != "auto" or limit.mib is None or shape is None:
        return profile
    layers = fewest_layers(profile, shape, limit.machine, limit.mib)
    return profile.model_copy(update={"model": profile.model.model_copy(update={"offload_layers": layers})})
