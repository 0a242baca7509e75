"""Keeps the measurements of probes, by GPU and by the settings that decide a run's memory. Forecasts read them.

CACHE/probes/CARD/KEY.json    {"tokens": ..., "reserved_mib": ..., "context_mib": ..., ...}
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated

import msgspec

from training.contract import files
from training.contract.profile import Profile
from training.memory.forecast import Measured

# A run's memory depends on these settings. A measurement stays valid when any other one changes.
_MODEL = ("name", "revision", "max_seq_length", "load_in_4bit", "dtype", "offload_layers", "offload_embedding")
_LORA = ("r", "lora_dropout", "bias", "target_modules", "modules_to_save")
_TRAINING = ("per_device_train_batch_size", "optim", "gradient_checkpointing", "loss_tile_mib")


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]  # a damaged file may contain any number


class Probed(msgspec.Struct):
    """A measurement: with rows of `tokens` tokens and `offload_layers` layers in host memory, the allocator reserved
    `reserved_mib`, and the CUDA context took `context_mib`. The largest pass of an evaluation had `eval_tokens`, which
    earlier trainers did not write."""

    tokens: _Count
    reserved_mib: float
    context_mib: float
    offload_layers: _Count
    eval_tokens: _Count = 0

    @property
    def measured(self) -> Measured:
        return Measured(self.tokens, self.reserved_mib, self.offload_layers, self.eval_tokens)


def write(cache: Path, card: str, profile: Profile, probed: Probed) -> None:
    """Save a measurement for `card` (the GPU's name in NVML) and `profile`. Raises OSError."""
    path = _path(cache, card, profile)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write_atomically(path, msgspec.json.encode(probed).decode() + "\n")


def read(cache: Path, card: str, profile: Profile) -> Probed | None:
    """Load the measurement for this GPU and profile; None if there is none."""
    return _read(_path(cache, card, profile))


def latest(cache: Path, card: str) -> Probed | None:
    """Load the newest measurement on this GPU, of any profile: the size of the CUDA context is the same for all."""
    try:
        paths = sorted(_folder(cache, card).glob("*.json"), key=lambda path: path.stat().st_mtime)
    except OSError:  # a file was replaced meanwhile
        return None
    return _read(paths[-1]) if paths else None


def _read(path: Path) -> Probed | None:
    try:
        return msgspec.json.decode(files.read(path), type=Probed)
    except (OSError, ValueError, RecursionError):
        return None


def _folder(cache: Path, card: str) -> Path:
    return cache / "probes" / re.sub(r"[^A-Za-z0-9]+", "-", card).strip("-")


def _path(cache: Path, card: str, profile: Profile) -> Path:
    tables = profile.model_dump(mode="json")
    tables["training"]["per_device_train_batch_size"] = profile.pass_rows
    facts = [{name: tables[table][name] for name in names}
             for table, names in (("model", _MODEL), ("lora", _LORA), ("training", _TRAINING))]  # fmt: skip
    if (rows := profile.evaluation.per_device_eval_batch_size) > profile.pass_rows:
        facts.append({"per_device_eval_batch_size": rows})  # an evaluation then needs the most memory
    if profile.training.packing == "off":  # padded rows have a mask, and those of Gemma 3 no scores between rows
        facts.append({"packing": "off"})
    if profile.ranks > 1:
        facts.append({"processes": profile.ranks})
    if profile.is_sharded:
        facts.append({"strategy": profile.launch.strategy})
    if profile.model.offload_layers == "auto":  # the limit then decides the number of layers
        facts.append({name: tables["hardware"][name] for name in ("vram_limit_mib", "display_reserve_mib")})
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
    return _folder(cache, card) / f"{key}.json"
