"""How much memory a fine-tune will take, before anything is loaded: a pure function of profile and model shape."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from training.contract.model_shape import ModelShape
from training.contract.profile import Profile

Verdict = Literal["fits", "tight", "no"]


@dataclass(frozen=True)
class Remedy:
    """A change that makes the run smaller. `frees_mib` is how much it gives back, `cost` what it costs, in words."""

    field: str
    value: Any
    frees_mib: float
    cost: str


@dataclass(frozen=True)
class Forecast:
    """Peak memory in MiB. `components` add up to `device_mib`; `reserved_mib` is the allocator's part of it.

    `limit_mib` is the most that the run may take (hardware.vram_limit_mib, or the card less the display reserve);
    None where no card is known. `measured` says that a probe on this card gave the peak.
    """

    components: dict[str, float]  # weights, lora, optimizer, activations, loss_head, context
    reserved_mib: float
    device_mib: float
    display_mib: float
    limit_mib: float | None
    card_mib: float | None
    offload_layers: int
    measured: bool = False

    @property
    def verdict(self) -> Verdict | None:
        """None where no card is known."""
        raise NotImplementedError


def forecast(profile: Profile, shape: ModelShape, card_mib: float | None = None) -> Forecast:
    raise NotImplementedError


def remedies(profile: Profile, shape: ModelShape, card_mib: float) -> list[Remedy]:
    raise NotImplementedError


def layers_to_offload(profile: Profile, shape: ModelShape, limit_mib: float) -> int:
    raise NotImplementedError


def optimizer_bytes(sizes: Iterable[int], optim: str) -> int:
    """Of the optimiser's state on the card, for trainable tensors of `sizes` elements, as bitsandbytes and torch lay
    it out: two moments of one byte each with a scale for every 256, or of four bytes; small tensors always of four."""
    total = 0
    for size in sizes:
        if not optim.endswith("8bit") or size < 4096:
            total += 8 * size
        elif optim.startswith("paged") and size >= 100_000:
            total += 8 * math.ceil(size / 256)  # the moments themselves lie in managed memory
        else:
            total += 2 * size + 8 * math.ceil(size / 256)
    return total
