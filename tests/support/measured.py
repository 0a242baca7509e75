"""docs/memory.csv: what real fine-tunes took on a real GPU, and which of it the forecast was calibrated on."""

from __future__ import annotations

import csv
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.random_models import SHAPES

from training.contract.profile import Profile
from training.memory.forecast import Forecast, Machine, forecast
from training.memory.model_shape import ModelShape, shipped_configs

TABLE = Path(__file__).resolve().parents[2] / "docs" / "memory.csv"
MODELS = {
    "1b": "unsloth/Llama-3.2-1B-Instruct-bnb-4bit",
    "3b": "unsloth/Llama-3.2-3B-Instruct-bnb-4bit",
    "8b": "unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit",
    "14b": "unsloth/Qwen2.5-14B-Instruct-bnb-4bit",
}

COMMON = (("rows_in_pass", "1"), ("evaluated", "False"))  # of nearly all rows, so not in their names


@dataclass(frozen=True)
class Run:
    """One row: what was asked and the peak that the allocator reserved, in MiB."""

    name: str
    profile: Profile
    shape: ModelShape
    machine: Machine
    allocated_mib: float
    reserved_mib: float
    context_mib: float

    @property
    def held_out(self) -> bool:
        """A third of the rows, by a checksum of what was asked: the calibration has not seen them."""
        return zlib.crc32(self.name.encode()) % 3 == 0

    @property
    def forecast(self) -> Forecast:
        return forecast(self.profile, self.shape, self.machine)

    @property
    def error(self) -> float:
        return self.forecast.reserved_mib / self.reserved_mib - 1


def runs() -> list[Run]:
    return [_run(row) for row in csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines())]


def _run(row: dict[str, str]) -> Run:
    value = {name: _parsed(text) for name, text in row.items()}
    model = MODELS.get(row["shape"])
    config = shipped_configs()[model] if model else SHAPES[row["shape"]]
    is_alone = value["batch"] * value["rows_in_pass"] == 1  # a pass with one row is the same whether packed or not
    profile = Profile.model_validate({
        "model": {"name": model or row["shape"], "load_in_4bit": value["load_in_4bit"], "max_seq_length": value["seq"],
                  "offload_layers": value["offload_layers"], "offload_embedding": value["offload_embedding"]},
        "lora": {"r": value["r"]},
        "training": {"per_device_train_batch_size": value["batch"], "optim": value["optim"],
                     "gradient_checkpointing": value["checkpointing"], "loss_tile_mib": value["loss_tile_mib"],
                     "packing": "off" if is_alone else "pack"},
    })  # fmt: skip
    asked = [
        text
        for name, text in row.items()
        if (not name.endswith("_mib") or name == "loss_tile_mib") and (name, text) not in COMMON
    ]
    return Run(
        name=" ".join(asked),
        profile=profile,
        shape=ModelShape.from_config(config),
        machine=Machine(context_mib=value["context_mib"], expandable_segments=row["segments"] == "expandable"),
        allocated_mib=value["peak_allocated_mib"],
        # Where segments are fixed, the large block that transformers reserves for the weights is not used, and is freed
        # when memory runs short.
        reserved_mib=max(value["peak_reserved_mib"], value["loading_mib"] if row["segments"] == "expandable" else 0),
        context_mib=value["context_mib"],
    )


def _parsed(text: str) -> Any:
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except ValueError:
        return text
