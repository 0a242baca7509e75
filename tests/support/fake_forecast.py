"""A forecast that stays the same whatever is measured and calibrated, for a 4 GB card: screens are tried with it."""

from __future__ import annotations

from pathlib import Path

from codex_tui.machine.forecast import Card, NoForecast
from training.contract.profile import Profile
from training.memory.forecast import Forecast, Remedy

CARD = Card("NVIDIA GeForce RTX 3050 Laptop GPU", 4096, 3790, 306)


def card(device: int | str = "auto") -> Card | None:
    return CARD


def no_card(device: int | str = "auto") -> Card | None:
    return None


def of(profile: Profile, path: Path, card_mib: float | None) -> Forecast | NoForecast:
    if "3B" not in profile.model.name:
        return NoForecast(f"{profile.model.name} is not on this machine yet, so its size is not known.")
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
    limit = None if card_mib is None else profile.hardware.vram_limit_mib or card_mib - display
    return Forecast(parts, device - 496, device, display, limit, card_mib, 0)


def remedies_of(profile: Profile, path: Path, card_mib: float | None) -> list[Remedy]:
    length, r = profile.model.max_seq_length, profile.lora.r
    return [
        Remedy("model.max_seq_length", 1024, 0.11 * (length - 1024), "longer rows are cut", True),
        Remedy("training.loss_tile_mib", 64, 154.0, "slower steps"),
        Remedy("lora.r", r // 2, 5.8 * r, "the adapter learns less"),
    ]
