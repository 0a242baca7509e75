"""Chooses the number of offloaded layers for model.offload_layers = "auto".

The forecast decides, and not Unsloth's own planner: that one keeps about 2 GiB free, too much for a 4 GB card.
"""

from __future__ import annotations

from training.contract.profile import Profile
from training.finetune.vram import VramLimit
from training.memory.forecast import find_fewest_layers
from training.memory.model_shape import ModelShape


def resolve_offload_layers(profile: Profile, shape: ModelShape | None, limit: VramLimit) -> Profile:
    """Return `profile` with a number of layers in place of "auto": the fewest that the run needs to fit.

    Returns `profile` unchanged if it has a number already, if there is no GPU, or if the model's shape is unknown. In
    the last case Unsloth's planner decides.
    """
    if profile.model.offload_layers != "auto" or limit.mib is None or shape is None:
        return profile
    layers = find_fewest_layers(profile, shape, limit.machine, limit.mib)
    return profile.with_value("model.offload_layers", layers)
