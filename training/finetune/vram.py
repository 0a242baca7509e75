"""What a run may take of its card, held to: under WSL2 a full card spills into shared memory without a word."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from training.contract import failures
from training.contract.failures import TrainingFailure
from training.contract.profile import Profile
from training.finetune.gpu import MIB, Card
from training.memory import probes
from training.memory.forecast import CONTEXT_MIB, Machine
from training.memory.model_shape import ModelShape
from training.memory.remedies import remedies

STILL_TO_COME = 64.0
"""MiB by which the CUDA context may grow while a model is loaded."""
LEAST_CONTEXT_MIB, MOST_CONTEXT_MIB = 64.0, 1200.0
"""Between these it has been on every card: what lies beyond is another program that came or went."""
REMEDIES_TOLD = 3


class VramLimit:
    """The most this process may hold on the card, in MiB with the CUDA context; None on a CPU.

    hardware.vram_limit_mib, or what the card has less the display reserve, or less what others hold by now, if that is
    more. The allocator gets what the context leaves of it: call `apply` again once all kernels are loaded.
    """

    def __init__(self, profile: Profile, card: Card | None, cache: Path) -> None:
        self.mib: float | None = None
        self.card = card
        self.others_mib = (card.others_mib if card else None) or 0.0
        self._seen_context = 0.0
        self.machine = Machine()
        if not torch.cuda.is_available():
            return
        self._total = torch.cuda.get_device_properties(0).total_memory / MIB
        # NVML's total, as in a forecast; torch's may leave out what the driver keeps, which NVML counts as used.
        whole = (card.total_mib if card else None) or self._total
        left = whole - max(profile.hardware.display_reserve_mib, self.others_mib)
        self.mib = min(left, self._total, profile.hardware.vram_limit_mib or left)
        last = probes.latest(cache, card.name) if card else None
        probed = probes.read(cache, card.name, profile) if card else None
        self._seen_context = last.context_mib if last else 0.0
        self.machine = Machine(
            whole,
            self._seen_context or CONTEXT_MIB,
            expandable_segments="expandable_segments:True" in os.environ.get("PYTORCH_ALLOC_CONF", ""),
            measured=probed.measured if probed else None,
        )

    @property
    def context_mib(self) -> float:
        """What this process holds beside the allocator's memory, as of now."""
        held = self.card.held_mib() if self.card else None
        if held is None:
            return self.machine.context_mib
        beside = held - torch.cuda.memory_reserved() / MIB
        return min(max(beside, LEAST_CONTEXT_MIB), MOST_CONTEXT_MIB)

    def apply(self, *, loaded: bool) -> None:
        """Caps the allocator. `loaded`: every kernel was used once, so that the context grows no more."""
        if self.mib is None:
            return
        context = self.context_mib if loaded else max(self.context_mib + STILL_TO_COME, self._seen_context)
        torch.cuda.set_per_process_memory_fraction(min(1.0, max(1.0, self.mib - context) / self._total))

    @contextmanager
    def explain_out_of_memory(self, task: str, profile: Profile, shape: ModelShape | None) -> Iterator[None]:
        """When the GPU's memory runs out inside, raise a TrainingFailure that says what failed, what the limit is and
        which settings would help. `task` is a sentence such as "The model can't be loaded".

        `profile` has a number of offloaded layers; `shape` is None if no forecast can be made for the model.
        """
        try:
            yield
        except torch.OutOfMemoryError as error:
            if failures.classify(error).kind != "gpu_memory":
                raise
            within = f" within {self.mib:,.0f} MiB of the card" if self.mib else ""
            message = f"{task}{within}: the GPU's memory ran out."
            raise TrainingFailure("gpu_memory", message, self._ways(profile, shape)) from error

    def _ways(self, profile: Profile, shape: ModelShape | None) -> str:
        if shape is None or self.mib is None:
            return ""
        machine = replace(self.machine, card_mib=self.mib + profile.hardware.display_reserve_mib)
        found = remedies(profile, shape, machine)[:REMEDIES_TOLD]
        ways = "; ".join(f"{r.field} = {json.dumps(r.value)} gives back {r.frees_mib:,.0f} MiB" for r in found)
        return f"Set one of: {ways}." if ways else ""
