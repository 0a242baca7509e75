"""What probes measured, kept by card and by what decides the memory of a run: the trainer writes, forecasts read.

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

# What a run's memory depends on; everything else may change and the measurement still holds.
_MODEL = ("name", "revision", "max_seq_length", "load_in_4bit", "dtype", "offload_layers", "offload_embedding")
_LORA = ("r", "lora_dropout", "bias", "target_modules", "modules_to_save")
_TRAINING = ("per_device_train_batch_size", "optim", "gradient_checkpointing", "loss_tile_mib")


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]  # a damaged file may hold any number


class Probed(msgspec.Struct):
    """Rows of `tokens` tokens took `reserved_mib` of the allocator, beside a context of `context_mib`, with
    `offload_layers` layers in host memory."""

    tokens: _Count
    reserved_mib: float
    context_mib: float
    offload_layers: _Count

    @property
    def measured(self) -> Measured:
        return Measured(self.tokens, self.reserved_mib, self.offload_layers)


def write(cache: Path, card: str, profile: Profile, probed: Probed) -> None:
    """Remembers `probed` for `card` (NVML's name of it) and `profile`. Raises OSError."""
    path = _path(cache, card, profile)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.write_atomically(path, msgspec.json.encode(probed).decode() + "\n")


def read(cache: Path, card: str, profile: Profile) -> Probed | None:
    return _read(_path(cache, card, profile))


def latest(cache: Path, card: str) -> Probed | None:
    """The last one of any profile: what it says of the context holds for the card."""
    try:
        found = sorted(_folder(cache, card).glob("*.json"), key=lambda path: path.stat().st_mtime)
    except OSError:  # one was replaced meanwhile
        return None
    return _read(found[-1]) if found else None


def _read(path: Path) -> Probed | None:
    try:
        return msgspec.json.decode(files.read(path), type=Probed)
    except (OSError, ValueError, RecursionError):
        return None


def _folder(cache: Path, card: str) -> Path:
    return cache / "probes" / re.sub(r"[^A-Za-z0-9]+", "-", card).strip("-")


def _path(cache: Path, card: str, profile: Profile) -> Path:
    whole = profile.model_dump(mode="json")
    facts = [{name: whole[table][name] for name in names}
             for table, names in (("model", _MODEL), ("lora", _LORA), ("training", _TRAINING))]  # fmt: skip
    if profile.model.offload_layers == "auto":  # how many that is follows from the limit
        facts.append({name: whole["hardware"][name] for name in ("vram_limit_mib", "display_reserve_mib")})
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]
    return _folder(cache, card) / f"{key}.json"
