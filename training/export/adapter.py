"""Reads an adapter, and changes a base model's tensors as PEFT's `merge_and_unload` does.

Whatever `adapter_config.json` asks for and this can't do is refused by its name.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.contract import files
from training.contract.checkpoints import ADAPTER
from training.contract.failures import TrainingFailure
from training.contract.run_directory import ADAPTER_CONFIG
from training.export.tensors import StoredTensor, read_header

if TYPE_CHECKING:
    from torch import Tensor

PREFIX = "base_model.model."
LINEAR = ("lora_A.weight", "lora_B.weight")
EMBEDDING = ("lora_embedding_A", "lora_embedding_B")
MAGNITUDE = "lora_magnitude_vector"
PARTS = (*LINEAR, *EMBEDDING, MAGNITUDE)
# Fields that change nothing in a merge, or that it follows.
FOLLOWED = {
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "ensure_weight_tying", "exclude_modules",
    "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern", "layers_to_transform", "lora_alpha",
    "lora_dropout", "modules_to_save", "peft_type", "peft_version", "r", "rank_pattern", "revision", "target_modules",
    "task_type", "use_dora", "use_rslora", "runtime_config",
}  # fmt: skip
CHANGES_BASE = ("pissa", "olora", "loftq", "corda")
"""Of init_lora_weights: these change the base model when training begins, and the adapter fits only the changed one."""


@dataclass
class Change:
    """What an adapter does to one tensor of the base: it replaces it, adds A times B to it, or both."""

    parts: dict[str, StoredTensor] = field(default_factory=dict)
    scale: float = 1.0
    replacement: StoredTensor | None = None

    @property
    def is_embedding(self) -> bool:
        return EMBEDDING[0] in self.parts

    def find_shape(self, fan_in_fan_out: bool) -> tuple[int, int]:
        """Return the shape of the weights that A and B change."""
        a, b = (self.parts[name].shape for name in (EMBEDDING if self.is_embedding else LINEAR))
        return (a[1], b[0]) if self.is_embedding or fan_in_fan_out else (b[0], a[1])


@dataclass(frozen=True)
class Adapter:
    """The changes of an adapter, by the names of the base model's tensors as PEFT knows them."""

    folder: Path
    changes: dict[str, Change]
    fan_in_fan_out: bool

    @classmethod
    def read(cls, folder: Path) -> Adapter:
        """Raises TrainingFailure, OSError."""
        try:
            config = json.loads(files.read(folder / ADAPTER_CONFIG))
            _check(config, folder)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, re.error) as error:
            raise TrainingFailure("model_not_found", f"{folder / ADAPTER_CONFIG} is damaged.") from error
        changes: dict[str, Change] = {}
        for tensor in read_header(folder / ADAPTER):
            if not tensor.name.startswith(PREFIX):
                raise _refuse(folder, f"the tensor {tensor.name}")
            name = tensor.name.removeprefix(PREFIX)
            part = next((part for part in PARTS if name.endswith(f".{part}")), None)
            if part is None:
                if ".lora_" in name:
                    raise _refuse(folder, f"the tensor {tensor.name}")
                changes.setdefault(name.replace(".base_layer.", "."), Change()).replacement = tensor
                continue
            module = name.removesuffix(f".{part}")
            changes.setdefault(f"{module}.weight", Change()).parts[part] = tensor
        for name, change in changes.items():
            if change.parts:
                _complete(change, name.removesuffix(".weight"), config, folder)
        return cls(folder, changes, bool(config.get("fan_in_fan_out")))

    def compute_delta(self, change: Change) -> Tensor:
        """Compute what is added to a whole tensor, in float32. In parts it would be rounded in another way than in
        PEFT."""
        a_name, b_name = EMBEDDING if change.is_embedding else LINEAR
        delta = _read(change, b_name) @ _read(change, a_name)
        if change.is_embedding or self.fan_in_fan_out:
            delta = delta.T
        return delta.mul_(change.scale)

    def apply(self, change: Change, delta: Tensor, weight: Tensor, first: int) -> Tensor:
        """Return the rows `weight` of a base tensor with the change. The first of them has the number `first`. `weight`
        is in float32 and is changed in place."""
        import torch

        weight += delta[first : first + weight.shape[0]]
        if MAGNITUDE not in change.parts:
            return weight
        magnitude = _read(change, MAGNITUDE)
        if self.fan_in_fan_out:
            return weight.mul_(magnitude / torch.linalg.norm(weight.T, dim=1))
        magnitude = magnitude[first : first + weight.shape[0]]
        return weight.mul_((magnitude / torch.linalg.norm(weight, dim=1)).view(-1, 1))

    def needs_whole(self, change: Change) -> bool:
        """Return whether a row of the result depends on other rows."""
        return MAGNITUDE in change.parts and self.fan_in_fan_out


def _read(change: Change, part: str) -> Tensor:
    return change.parts[part].read().float()


def _check(config: dict[str, Any], folder: Path) -> None:
    if config.get("peft_type") != "LORA":
        raise _refuse(folder, f"peft_type = {config.get('peft_type')!r}")
    for name, value in config.items():
        if name not in FOLLOWED and value and not _is_default(name, value):
            raise _refuse(folder, f"{name} = {json.dumps(value)[:80]}")
    if config.get("ensure_weight_tying"):
        raise _refuse(folder, "ensure_weight_tying = true")
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower().startswith(CHANGES_BASE):
        raise _refuse(folder, f"init_lora_weights = {start!r}")


def _is_default(name: str, value: Any) -> bool:
    """Return whether `value` is what PEFT writes for a feature that is off, although it is not empty."""
    defaults = {"megatron_core": "megatron.core", "qalora_group_size": 16}
    return defaults.get(name) == value or value == {}


def _complete(change: Change, module: str, config: dict[str, Any], folder: Path) -> None:
    """Compute the scale of the change of `module`, as PEFT does. Raises TrainingFailure if a part is missing."""
    names = EMBEDDING if change.is_embedding else LINEAR
    if not set(names) <= set(change.parts):
        raise TrainingFailure("model_not_found", f"{folder / ADAPTER} has only one of the two matrices of {module}.")
    if change.is_embedding and MAGNITUDE in change.parts:
        raise _refuse(folder, f"use_dora for the embedding {module}")
    if any(len(tensor.shape) > 2 for tensor in change.parts.values()):
        raise _refuse(folder, f"the convolution {module}")
    rank = change.parts[names[0]].shape[0]
    alpha = _find_pattern(config.get("alpha_pattern") or {}, module, config["lora_alpha"])
    change.scale = alpha / (rank**0.5 if config.get("use_rslora") else rank)


def _find_pattern(patterns: dict[str, Any], module: str, default: Any) -> Any:
    """Return the value of the pattern that fits `module`, as PEFT finds it."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def _refuse(folder: Path, what: str) -> TrainingFailure:
    return TrainingFailure(
        "bad_config",
        f"The adapter in {folder} can't be merged, because it has {what}.",
        "Export the adapter itself instead: --to adapter",
    )
