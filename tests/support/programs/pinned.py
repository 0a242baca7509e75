"""How much page-locked memory Unsloth is given, for what a machine gives and what a profile allows."""

from __future__ import annotations

import os
from typing import Any

from training.contract.profile import Profile
from training.finetune import pinned
from training.memory.model_shape import ModelShape, shipped_configs
from training.memory.pinned_memory import PinnedUnknown

SHAPE = ModelShape.from_config(shipped_configs()["unsloth/Llama-3.2-3B-Instruct-bnb-4bit"])
VARIABLES = ("UNSLOTH_DISABLE_PINNED_MEMORY", "UNSLOTH_GC_PINNED_MAX_GB")


def parked() -> tuple[float, float]:
    return pinned.parked_mib(Profile.model_validate({"model": {"name": "x"}}), SHAPE)


def settings() -> list[list[Any]]:
    """[whether there is a warning, the two variables] for each case."""
    return [
        *(_limit(there) for there in (4096, 256, 8, None)),
        _limit(4096, pinned_limit_mib=128),
        _limit(4096, pinned_limit_mib=0),
        _limit(4096, pinned_limit_mib=600, offload_layers=14),
        _limit(4096, pinned_limit_mib=900, offload_layers=14),
        _limit(4096, checkpointing=True),
    ]


def _limit(
    available: float | None, offload_layers: int = 0, checkpointing: str | bool = "unsloth", **hardware: Any
) -> list[Any]:
    for variable in VARIABLES:
        os.environ.pop(variable, None)

    def lockable_mib(wanted: float, block: float) -> float:
        if available is None:
            raise PinnedUnknown("no card")
        return min(wanted, available)

    pinned.lockable_mib = lockable_mib
    profile = Profile.model_validate(
        {
            "model": {"name": "x", "offload_layers": offload_layers},
            "hardware": hardware,
            "training": {"gradient_checkpointing": checkpointing},
        }
    )
    warning = pinned.limit_pinned_memory(profile, SHAPE)
    return [warning is not None, *map(os.environ.get, VARIABLES)]
