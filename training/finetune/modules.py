"""Compares the modules that a profile names with those that the model has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import nn
from transformers.pytorch_utils import Conv1D

from training.contract.failures import TrainingFailure
from training.contract.profile import Profile
from training.finetune.attempt import Attempt
from training.memory.module_names import ModuleNames, UnknownModules, check_module_names

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def require_modules(attempt: Attempt, profile: Profile, names: ModuleNames) -> None:
    """Raise TrainingFailure if the profile names modules that are not among `names`: Unsloth and peft ignore them.

    A resumed run has trained without them so far, so it only gets a warning.
    """
    try:
        check_module_names(profile, names)
    except UnknownModules as unknown:
        if not attempt.resume_from:
            raise TrainingFailure("bad_config", unknown.message, unknown.hint) from None
        attempt.warn(f"{unknown.message} The run goes on without. {unknown.hint}")


def list_module_names(model: PreTrainedModel) -> ModuleNames:
    """List the modules of `model` by the last part of their names, in the model's order."""
    modules = list(model.named_modules())
    head = model.get_output_embeddings()
    whole = [name for name, module in modules if module is head or _is_norm_or_embedding(module)]
    linear = [name for name, module in modules if module is not head and isinstance(module, nn.Linear | Conv1D)]
    everything = [name for name, _ in modules] + [name for name, _ in model.named_parameters()]
    return ModuleNames(_last_parts(linear), _last_parts(whole), frozenset(everything))


def _is_norm_or_embedding(module: nn.Module) -> bool:
    return isinstance(module, nn.Embedding) or "Norm" in type(module).__name__


def _last_parts(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.rpartition(".")[2] for name in names))
