"""What a run may take of its card, held to: under WSL2 a full card spills into shared memory without a word."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from training.contract import probes
from training.contract.forecast import CONTEXT_MIB, Machine
from training.contract.profile import Profile
from training.gpu import MIB, Card

STILL_TO_COME = 64.0
"""MiB by which the CUDA context may grow while a model is loaded."""
LEAST_CONTEXT_MIB, MOST_CONTEXT_MIB = 64.0, 1200.0
"""Between these it has been on every card: what lies beyond is another program that came or went."""


class VramLimit:
    """The most this process may hold on the card, in MiB with the CUDA context; None on a CPU.

    hardware.vram_limit_mib, or what the card has less the display reserve, or less what others hold by now, if that is
    more. The allocator gets what the context leaves of it: call `apply` again once all kernels are loaded.
    """

    def __init__(self, profile: Profile, card: Card | None, cache: Path) -> None:
        self.mib: float | None = None
        self._card = card
        self.others_mib = (card.others_mib if card else None) or 0.0
        self.machine = Machine()
        if not torch.cuda.is_available():
            return
        self._total = torch.cuda.get_device_properties(0).total_memory / MIB
        # NVML's total, as in a forecast; torch's may leave out what the driver keeps, which NVML counts as used.
        whole = (card.total_mib if card else None) or self._total
        left = whole - max(profile.hardware.display_reserve_mib, self.others_mib)
        self.mib = min(left, self._total, profile.hardware.vram_limit_mib or left)
        last = probes.latest(cache, card.name) if card else None
        self.machine = Machine(
            whole,
            last.context_mib if last else CONTEXT_MIB,
            expandable_segments="expandable_segments:True" in os.environ.get("PYTORCH_ALLOC_CONF", ""),
        )

    @property
    def context_mib(self) -> float:
        """What this process holds beside the allocator's memory, as of now."""
        held = self._card.held_mib() if self._card else None
        if held is None:
            return self.machine.context_mib
        beside = held - torch.cuda.memory_reserved() / MIB
        return min(max(beside, LEAST_CONTEXT_MIB), MOST_CONTEXT_MIB)

    def apply(self, *, loaded: bool) -> None:
        """Caps the allocator. `loaded`: every kernel was used once, so that the context grows no more."""
        if self.mib is None:
            return
        context = self.context_mib + (0.0 if loaded else STILL_TO_COME)
        torch.cuda.set_per_process_memory_fraction(min(1.0, max(1.0, self.mib - context) / self._total))
