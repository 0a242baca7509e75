"""A forecast that stays the same whatever is measured and calibrated, for a 4 GB card: screens are tried with it."""

from __future__ import annotations

from pathlib import Path

from codex_tui.machine.forecast import Card, ResourceForecast
from training.contract.profile import Profile
from training.memory.forecast import Forecast
from training.memory.model_shape import ModelShape, shipped_configs
from training.memory.pass_size import LargerPasses
from training.memory.remedies import Remedy

LLAMA_3B = "unsloth/Llama-3.2-3B-Instruct-bnb-4bit"
CARD = Card("NVIDIA GeForce RTX 3050 Laptop GPU", 4096, 3790, 306)
LARGER_PASSES: LargerPasses | None = None


def read_card(device: int | str = "auto") -> Card | None:
    return CARD


def forecast_resources(
    profile: Profile, path: Path, card_mib: float | None = None, *, use_title: bool = False
) -> ResourceForecast:
    memory = _memory(profile)
    reason = "" if memory else f"{profile.model.name} is not on this machine yet, so its size is not known."
    remedies = _remedies(profile) if memory and memory.verdict in ("tight", "no") else []
    shape = ModelShape.from_config(shipped_configs()[LLAMA_3B]) if memory else None
    return ResourceForecast(
        path.stem, profile, profile, CARD, memory, reason, remedies, disk=None, disk_free_mib=100_000.0, shape=shape,
        larger_passes=LARGER_PASSES,
    )  # fmt: skip


def _memory(profile: Profile) -> Forecast | None:
    if "3B" not in profile.model.name:
        return None
    training, model = profile.training, profile.model
    parts = {
        "weights": 2170.0 if model.load_in_4bit else 6128.0,
        "lora": 8.7 * profile.lora.r,
        "optimizer": 2.9 * profile.lora.r,
        "activations": 0.11 * model.max_seq_length * training.per_device_train_batch_size,
        "loss_head": 0.8 * training.loss_tile_mib,
        "context": 496.0,
    }
    device = sum(parts.values())
    display = float(profile.hardware.display_reserve_mib)
    limit = profile.hardware.vram_limit_mib or CARD.total_mib - display
    return Forecast(parts, device - 496, device, display, limit, CARD.total_mib, 0)


def _remedies(profile: Profile) -> list[Remedy]:
    length, r = profile.model.max_seq_length, profile.lora.r
    return [
        Remedy("model.max_seq_length", 1024, 0.11 * (length - 1024), "longer rows are cut", True),
        Remedy("training.loss_tile_mib", 64, 154.0, "", longer=(0.004, 0.061)),
        Remedy("lora.r", r // 2, 5.8 * r, "the adapter learns less"),
    ]
