"""model.offload_layers = "auto": as many layers as the forecast asks for, and no more. Unsloth's own planner keeps a
reserve of about 2 GiB free, which a 4 GB card does not have."""

from __future__ import annotations

from typing import Any

from training.contract.forecast import layers_to_offload
from training.contract.model_shape import ModelShape, NoShape
from training.contract.profile import Profile
from training.memory import VramLimit


def chosen(profile: Profile, source: str, limit: VramLimit) -> Profile:
    """`profile` with a number in place of "auto"; unchanged where it has one, or where there is no card."""
    if profile.model.offload_layers != "auto" or limit.mib is None:
        return profile
    from transformers import AutoConfig

    config: dict[str, Any] = AutoConfig.from_pretrained(source, revision=profile.model.revision).to_dict()
    try:
        layers = layers_to_offload(profile, ModelShape.of(config), limit.mib)
    except NoShape:
        return profile  # Unsloth's planner knows more models
    return profile.model_copy(update={"model": profile.model.model_copy(update={"offload_layers": layers})})
