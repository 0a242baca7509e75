"""The weights of a base model, tensor by tensor, as the run loaded them: in the run's precision, and through 4 bits if
the run trained on 4 bits."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.contract import files
from training.contract.export_messages import BaseChoice
from training.contract.failures import TrainingFailure
from training.export.tensors import StoredTensor, list_weight_files, read_header

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"
FLOATS = ("float32", "float16", "bfloat16")
STATE = ".quant_state.bitsandbytes__"
"""In the name of the tensor that describes how bitsandbytes packed another one."""


@dataclass(frozen=True)
class Base:
    """The model in `folder`. `dtype` is the number type in which the run loaded it. `packed` has the tensors that
    are stored in 4 bits, each with what describes it; `quantised` names those that the run quantised when it loaded
    them."""

    folder: Path
    config: dict[str, Any]
    dtype: str
    tensors: dict[str, StoredTensor]
    packed: dict[str, dict[str, StoredTensor]]
    quantised: frozenset[str]
    _usual: str

    @classmethod
    def open(cls, folder: Path, dtype: str, choice: BaseChoice, *, load_in_4bit: bool) -> Base:
        """Raises TrainingFailure, OSError."""
        config = read_config(folder)
        stored = {tensor.name: tensor for path in list_weight_files(folder) for tensor in read_header(path)}
        packed = _find_packed(stored)
        details = {tensor.name for parts in packed.values() for tensor in parts.values()}
        tensors = {name: tensor for name, tensor in stored.items() if name not in details}
        _check_quantisation(config, folder, bool(packed))
        if packed and choice == "original":
            raise TrainingFailure(
                "bad_config",
                f"{folder} has the model in 4 bits, and not the original in 16 bits.",
                "Name the folder or the repository of the original: --base OWNER/NAME",
            )
        counts: Counter[str] = Counter()
        for tensor in tensors.values():
            if tensor.dtype in FLOATS:
                counts[tensor.dtype] += tensor.size
        usual = counts.most_common(1)[0][0] if counts else dtype
        quantises = load_in_4bit and choice == "trained" and not packed
        names = frozenset(_list_quantised(folder, tensors)) if quantises else frozenset()
        return cls(folder, config, dtype, tensors, packed, names, usual)

    @property
    def has_four_bits(self) -> bool:
        return bool(self.packed or self.quantised)

    def find_shape(self, name: str) -> tuple[int, ...]:
        if name in self.packed:
            return tuple(_read_state(self.packed[name])["shape"])
        return self.tensors[name].shape

    def find_dtype(self, name: str) -> str:
        """Return the number type in which the run loaded the tensor. A tensor that is kept in another type than most
        others, such as a router in float32, stays in its type."""
        tensor = self.tensors[name]
        return self.dtype if name in self.packed or tensor.dtype == self._usual else tensor.dtype

    def iterate_blocks(self, name: str, *, whole: bool = False) -> Iterator[tuple[int, Tensor]]:
        """Yield the tensor's rows, as the run loaded them, in blocks: the number of the first row, and the rows. One
        that has 4 bits comes as a whole."""
        import torch

        dtype = getattr(torch, self.find_dtype(name))
        if name in self.packed or name in self.quantised:
            yield 0, self._load_through_4bit(name, dtype)
            return
        for first, block in self.tensors[name].iterate_blocks(whole=whole):
            yield first, block.to(dtype)

    def _load_through_4bit(self, name: str, dtype: Any) -> Tensor:
        import bitsandbytes.functional as bnb

        tensor = self.tensors[name]
        if parts := self.packed.get(name):
            # The state of a tensor names its parts without the tensor's own name.
            state = bnb.QuantState.from_dict({key: part.read() for key, part in parts.items()}, device="cpu")
            return bnb.dequantize_4bit(tensor.read(), state).to(dtype)
        data, state = bnb.quantize_4bit(tensor.read().to(dtype), quant_type="nf4", compress_statistics=True)
        return bnb.dequantize_4bit(data, state).to(dtype)

    def compute_fingerprint(self) -> str:
        """Compute a hash that changes with the files, without reading them: names, headers, sizes, and where the files
        really are. In the Hub's cache that is the checksum of the content."""
        digest = hashlib.sha256(json.dumps([self.config, self.dtype, sorted(self.quantised)], sort_keys=True).encode())
        for path in list_weight_files(self.folder):
            real = path.resolve()
            facts = real.stat()
            digest.update(f"{path.name} {real} {facts.st_size} {facts.st_mtime_ns}\n".encode())
        return digest.hexdigest()


def read_config(folder: Path) -> dict[str, Any]:
    """Read the model's config.json. Raises TrainingFailure."""
    try:
        config = json.loads(files.read(folder / CONFIG))
    except FileNotFoundError:
        raise TrainingFailure("model_not_found", f"{folder} is not a model: it has no config.json.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingFailure("model_not_found", f"{folder / CONFIG} is damaged.") from error
    if not isinstance(config, dict):
        raise TrainingFailure("model_not_found", f"{folder / CONFIG} is damaged.")
    return config


def _find_packed(stored: dict[str, StoredTensor]) -> dict[str, dict[str, StoredTensor]]:
    """Find the tensors that bitsandbytes packed into 4 bits, each with the tensors that describe it."""
    packed: dict[str, dict[str, StoredTensor]] = {}
    for name in stored:
        owner, found, _ = name.partition(STATE)
        if found and owner in stored:
            packed[owner] = {}
    for name, tensor in stored.items():
        # "X.weight.absmax" describes "X.weight"; "X.weight.quant_state.bitsandbytes__nf4" has two dots more.
        owner = name.partition(STATE)[0] if STATE in name else name.rpartition(".")[0]
        if owner in packed:
            packed[owner][name.removeprefix(f"{owner}.")] = tensor
    return packed


def _read_state(parts: dict[str, StoredTensor]) -> dict[str, Any]:
    """Read the description of a packed tensor: JSON in a tensor of bytes. Raises TrainingFailure."""
    part = next(part for key, part in parts.items() if STATE[1:] in key)
    try:
        return dict(json.loads(bytes(part.read().tolist())))
    except (ValueError, RecursionError) as error:
        raise TrainingFailure("model_not_found", f"{part.path} is damaged: {part.name}.") from error


def _check_quantisation(config: dict[str, Any], folder: Path, packed: bool) -> None:
    """Raise TrainingFailure for a model that is quantised in another way than bitsandbytes' 4 bits."""
    settings = config.get("quantization_config")
    if not settings or packed:
        return
    method = settings.get("quant_method", "unknown") if isinstance(settings, dict) else "unknown"
    bits = " in 8 bits" if isinstance(settings, dict) and settings.get("load_in_8bit") else ""
    raise TrainingFailure(
        "bad_config",
        f"The base model in {folder} is quantised with {method}{bits}, which can't be merged.",
        "Merge with the original 16-bit weights: --base original",
    )


def _list_quantised(folder: Path, tensors: dict[str, StoredTensor]) -> Iterator[str]:
    """List the weights that transformers quantises to 4 bits when it loads the model: its linear layers, except the
    output. Builds the model without its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.quantizers.base import get_keys_to_not_convert
    from transformers.quantizers.quantizers_utils import should_convert_module

    with torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    model.tie_weights()
    left_out = get_keys_to_not_convert(model)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and should_convert_module(name, left_out):
            if f"{name}.weight" not in tensors:
                raise TrainingFailure("bad_config", f"{folder} has no {name}.weight, so the model can't be merged.")
            yield f"{name}.weight"
