"""What a run may take of its card, held to: under WSL2 a full card spills into shared memory without a word."""

from __future__ import annotations

import torch

from training.contract.profile import Profile
from training.gpu import MIB, Card

CONTEXT_MIB = 600.0
"""Of the CUDA context and the libraries' kernels, until this process has seen its own."""


class VramLimit:
    """The most this process may hold on the card, in MiB with the CUDA context; None on a CPU.

    hardware.vram_limit_mib, or what the card has less the display reserve, or less what others hold by now, if that is
    more. The allocator gets what the context leaves of it: call `apply` again once all kernels are loaded.
    """

    def __init__(self, profile: Profile, card: Card | None) -> None:
        self.mib: float | None = None
        self.others_mib = (card.others_mib if card else None) or 0.0
        if not torch.cuda.is_available():
            return
        self._total = torch.cuda.get_device_properties(0).total_memory / MIB
        left = self._total - max(profile.hardware.display_reserve_mib, self.others_mib)
        self.mib = min(left, profile.hardware.vram_limit_mib or left)

    @property
    def context_mib(self) -> float:
        """What this process holds beside the allocator's memory, as of now."""
        free, total = torch.cuda.mem_get_info()
        return (total - free - torch.cuda.memory_reserved()) / MIB - self.others_mib

    def apply(self, *, loaded: bool) -> None:
        """Caps the allocator. `loaded`: every kernel was used once, so that the context grows no more."""
        if self.mib is None:
            return
        context = self.context_mib if loaded else max(self.context_mib, CONTEXT_MIB)
        torch.cuda.set_per_process_memory_fraction(min(1.0, max(1.0, self.mib - context) / self._total))
