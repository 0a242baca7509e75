"""Resolves the settings that a profile leaves to the forecast: "auto" of model.offload_layers and training.packing."""

from __future__ import annotations

from training.contract.profile import Profile
from training.finetune.ranks import Ranks
from training.finetune.vram import VramLimit
from training.memory.forecast import find_fewest_layers
from training.memory.model_shape import ModelShape
from training.memory.pass_size import resolve_passes, set_pass_rows


def resolve_offload_layers(profile: Profile, shape: ModelShape | None, limit: VramLimit) -> Profile:
    """Return `profile` with a number of layers in place of "auto": the fewest that the run needs to fit.

    The forecast decides, and not Unsloth's own planner: that one keeps about 2 GiB free, too much for a 4 GB card.
    Returns `profile` unchanged if it has a number already, if there is no GPU, or if the model's shape is unknown. In
    the last case Unsloth's planner decides.
    """
    if profile.model.offload_layers != "auto" or limit.mib is None or shape is None:
        return profile
    layers = find_fewest_layers(profile, shape, limit.machine, limit.mib)
    return profile.with_value("model.offload_layers", layers)


def resolve_packing(profile: Profile, shape: ModelShape | None, limit: VramLimit, ranks: Ranks) -> Profile:
    """Return `profile` with "pack" in place of "auto", in passes as large as are faster and fit into the card of each
    rank. All ranks return the same, and `limit` has what was measured for it. Returns `profile` unchanged if the
    model's shape is unknown; on a CPU its passes keep their size.
    """
    if shape is None:
        return profile
    resolved = resolve_passes(profile, shape, limit.limited_machine, limit.find_measured)
    rows = min(ranks.gather(resolved.pass_rows))
    if rows < resolved.pass_rows:
        resolved = set_pass_rows(profile, rows)
    limit.use_measurement_of(resolved)
    return resolved
