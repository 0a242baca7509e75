"""Limits the GPU memory of a run. Without a limit, a full GPU under WSL2 silently moves data to slow shared memory."""

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
from training.contract.units import MIB
from training.finetune.gpu import Card
from training.memory import probes
from training.memory.forecast import CONTEXT_MIB, Machine
from training.memory.model_shape import ModelShape
from training.memory.remedies import Remedy, describe_longer, remedies

CONTEXT_GROWTH_MIB = 64.0  # the CUDA context may grow by this while a model is loaded
MIN_CONTEXT_MIB, MAX_CONTEXT_MIB = 64.0, 1200.0
"""The range of context sizes on all GPUs measured. A reading outside it means that another program came or went."""
MAX_REMEDIES = 3


class VramLimit:
    """How much GPU memory this process may hold, as `mib`, including the CUDA context; None on a CPU.

    The limit is the GPU's size, less the display reserve or less the memory that other programs hold now, whichever is
    more. hardware.vram_limit_mib may lower it. The allocator is given what the context leaves, so call `apply` again
    once all kernels are loaded.
    """

    def __init__(self, profile: Profile, card: Card | None, cache: Path) -> None:
        self.mib: float | None = None
        self.card = card
        self.others_mib = (card.others_mib if card else None) or 0.0
        self._probed_context = 0.0
        self.machine = Machine()
        if not torch.cuda.is_available():
            return
        self._total = torch.cuda.get_device_properties(0).total_memory / MIB
        # Take NVML's total, as a forecast does. torch's may leave out the driver's own part, which NVML counts as used.
        total = (card.total_mib if card else None) or self._total
        left = total - max(profile.hardware.display_reserve_mib, self.others_mib)
        self.mib = min(left, self._total, profile.hardware.vram_limit_mib or left)
        last = probes.latest(cache, card.name) if card else None
        probed = probes.read(cache, card.name, profile) if card else None
        self._probed_context = last.context_mib if last else 0.0
        self.machine = Machine(
            total,
            self._probed_context or CONTEXT_MIB,
            expandable_segments="expandable_segments:True" in os.environ.get("PYTORCH_ALLOC_CONF", ""),
            measured=probed.measured if probed else None,
            card=card.name if card else "",
        )

    @property
    def context_mib(self) -> float:
        """The memory that this process holds now outside the allocator."""
        held = self.card.held_mib() if self.card else None
        if held is None:
            return self.machine.context_mib
        outside = held - torch.cuda.memory_reserved() / MIB
        return min(max(outside, MIN_CONTEXT_MIB), MAX_CONTEXT_MIB)

    def apply(self, *, loaded: bool) -> None:
        """Cap the allocator. `loaded` means that every kernel was used once, so that the context no longer grows."""
        if self.mib is None:
            return
        context = self.context_mib if loaded else max(self.context_mib + CONTEXT_GROWTH_MIB, self._probed_context)
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
            limit = f" (the limit is {self.mib:,.0f} MiB)" if self.mib else ""
            message = f"{task}: GPU memory ran out{limit}."
            raise TrainingFailure("gpu_memory", message, self._remedies(profile, shape)) from error

    def _remedies(self, profile: Profile, shape: ModelShape | None) -> str:
        if shape is None or self.mib is None:
            return ""
        machine = replace(self.machine, card_mib=self.mib + profile.hardware.display_reserve_mib)
        best = remedies(profile, shape, machine)[:MAX_REMEDIES]
        text = "; ".join(_describe(remedy) for remedy in best)
        return f"Set one of: {text}." if text else ""


def _describe(remedy: Remedy) -> str:
    """Describe a remedy as "lora.r = 8 frees 310 MiB and takes about 12 % longer"."""
    time = f" and {describe_longer(*remedy.longer)}" if remedy.longer else ""
    return f"{remedy.field} = {json.dumps(remedy.value)} frees {remedy.frees_mib:,.0f} MiB{time}"
