"""FSDP: each rank keeps a share of the model, and gathers a layer when it computes it. Unsloth's own FSDP2 does that.
Where the whole model takes little of the card, it stays whole, and only what is trained is shared.

All ranks take part in each pass and in each gathering of the adapter. A rank that did something with the model alone
would wait for the others for ever: so nothing is asked during training, neither samples nor questions.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from training.contract.failures import TrainingFailure
from training.contract.profile import Profile

if TYPE_CHECKING:
    import torch

NO_ANSWERS = 'With launch.strategy = "fsdp", the model answers nothing while it trains'


def prepare(profile: Profile) -> None:
    """Set the variables that Unsloth reads when it is imported. Raises TrainingFailure where it can't shard a model."""
    if not profile.is_sharded:
        return
    if importlib.util.find_spec("triton") is None:
        raise TrainingFailure(
            "bad_config",
            'launch.strategy = "fsdp" needs GPUs: torch for CPUs comes without Triton.',
            'Set launch.strategy = "ddp".',
        )
    os.environ["UNSLOTH_FSDP2"] = "1"


def find_local(parameter: torch.Tensor) -> torch.Tensor:
    """Return the part of a parameter that this rank has; all of it without FSDP."""
    local: Any = getattr(parameter, "_local_tensor", parameter)
    return local


def convert_to_float32(parameter: torch.Tensor) -> None:
    """Convert a parameter in place. Setting `data` of one that ranks share would change the type that it tells, and not
    that of the shares."""
    import torch

    if find_local(parameter) is parameter:
        parameter.data = parameter.data.float()
    else:
        torch.utils.swap_tensors(parameter, torch.nn.Parameter(parameter.detach().float()))


@contextmanager
def gather_adapter(model: Any) -> Iterator[None]:
    """Let rank 0 see the whole adapter in the block, to save it. Without FSDP, every rank sees it anyway. All ranks
    must enter the block."""
    from unsloth.models.fsdp2_save import fsdp2_gathered

    with fsdp2_gathered(model, trainable_only=True):
        yield
