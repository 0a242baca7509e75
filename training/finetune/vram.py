"""Limits the GPU memory of a run. Without a limit, a full GPU under WSL2 silently moves data to slow shared memory."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from training.contract import failures
from training.contract.events import MemoryTask, OutOfMemory
from training.contract.failures import TrainingFailure
from training.contract.profile import Profile
from training.contract.units import MIB
from training.finetune.failed_pass import FailedPass
from training.finetune.gpu import Card
from training.memory import probes
from training.memory.forecast import CONTEXT_MIB, Machine, Measured, compute_nccl_mib
from training.memory.model_shape import ModelShape
from training.memory.pass_size import set_pass_rows
from training.memory.remedies import remedies

CONTEXT_GROWTH_MIB = 64.0  # the CUDA context may grow by this while a model is loaded
MIN_CONTEXT_MIB, MAX_CONTEXT_MIB = 64.0, 1200.0
"""The range of context sizes on all GPUs measured. A reading outside it means that another program came or went."""
MAX_REMEDIES = 3


class VramLimit:
    """How much GPU memory this process may hold, as `mib`, including the CUDA context; None on a CPU.

    The limit is the GPU's size, less the display reserve or less the memory that other programs hold now, whichever is
    more. hardware.vram_limit_mib may lower it. The allocator is given what the context leaves, so call `apply` again
    once all kernels are loaded.

    `find_failed_pass` returns the pass that was running when memory ran out, None if there was none. `probed_tokens`
    are those of the longest row that the probe sent through, 0 without a probe.
    """

    def __init__(self, profile: Profile, card: Card | None, cache: Path) -> None:
        self.mib: float | None = None
        self.find_failed_pass: Callable[[], FailedPass | None] = lambda: None
        self.probed_tokens = 0
        self.card, self._cache, self._asked = card, cache, profile
        self.others_mib = (card.others_mib if card else None) or 0.0
        self._nccl_mib = compute_nccl_mib(profile)
        self._reserve_mib = profile.hardware.display_reserve_mib
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
        self._probed_context = last.context_mib + self._nccl_mib if last else 0.0
        self.machine = Machine(
            total,
            last.context_mib if last else CONTEXT_MIB,
            expandable_segments="expandable_segments:True" in os.environ.get("PYTORCH_ALLOC_CONF", ""),
            measured=self.find_measured(profile),
            card=card.name if card else "",
        )

    def find_measured(self, profile: Profile) -> Measured | None:
        """Find what a probe has measured for `profile` on this card."""
        probed = probes.read(self._cache, self.card.name, profile) if self.card else None
        return probed.measured if probed else None

    def use_measurement_of(self, profile: Profile) -> None:
        """Let forecasts count with what a probe has measured for `profile`, which runs."""
        self.machine = replace(self.machine, measured=self.find_measured(profile))

    @property
    def limited_machine(self) -> Machine:
        """The machine with a card of which the run may use all that is not reserved for the display."""
        return replace(self.machine, card_mib=None if self.mib is None else self.mib + self._reserve_mib)

    @property
    def context_mib(self) -> float:
        """The memory that this process holds now outside the allocator."""
        held = self.card.held_mib() if self.card else None
        if held is None:
            return self.machine.context_mib + self._nccl_mib
        outside = held - torch.cuda.memory_reserved() / MIB
        return min(max(outside, MIN_CONTEXT_MIB), MAX_CONTEXT_MIB + 2 * self._nccl_mib)

    def apply(self, *, loaded: bool) -> None:
        """Cap the allocator. `loaded` means that every kernel was used once, so that the context no longer grows."""
        if self.mib is None:
            return
        context = self.context_mib if loaded else max(self.context_mib + CONTEXT_GROWTH_MIB, self._probed_context)
        torch.cuda.set_per_process_memory_fraction(min(1.0, max(1.0, self.mib - context) / self._total))

    def count_free_bytes(self) -> int | None:
        """Count the bytes that tensors may still take; None on a CPU."""
        if self.mib is None:
            return None
        allowed = int(torch.cuda.get_per_process_memory_fraction() * self._total * MIB)
        free, _ = torch.cuda.mem_get_info()
        allocated = torch.cuda.memory_allocated()
        return max(0, min(allowed, free + torch.cuda.memory_reserved()) - allocated)

    @contextmanager
    def explain_out_of_memory(
        self, task: MemoryTask, sentence: str, profile: Profile, shape: ModelShape | None
    ) -> Iterator[None]:
        """When the GPU's memory runs out inside, raise a TrainingFailure that says what failed, at which row, what the
        limit is and which settings would help. `sentence` is such as "The model can't be loaded".

        `profile` has a number of offloaded layers; `shape` is None if no forecast can be made for the model.
        """
        try:
            yield
        except RuntimeError as error:  # torch.OutOfMemoryError is one, and cuBLAS raises a plain one
            if failures.classify(error).kind != "gpu_memory":
                raise
            failed = self.find_failed_pass()
            if task == "training" and failed and failed.is_evaluation:
                task = "evaluating"
            limit = f" (the limit is {self.mib:,.0f} MiB)" if self.mib else ""
            message = f"{sentence}: GPU memory ran out{limit}."
            if failed:
                message += _describe_row(failed, self.probed_tokens)
            memory = self._measure_failure(task, profile, failed, str(error))
            raise TrainingFailure("gpu_memory", message, self._remedies(profile, shape), memory) from error

    def _measure_failure(self, task: MemoryTask, profile: Profile, failed: FailedPass | None, text: str) -> OutOfMemory:
        """`text` is torch's message."""
        layers = profile.model.offload_layers
        memory = OutOfMemory(
            task=task,
            requested_mib=_read_size("Tried to allocate", text),
            allocated_mib=_read_size("Of the allocated memory", text),
            limit_mib=self.mib,
            context_mib=round(self.context_mib, 1) if self.mib else 0.0,
            offload_layers=0 if layers == "auto" else layers,
            pass_rows=profile.pass_rows,
            expandable_segments=self.machine.expandable_segments,
            card=self.machine.card,
        )
        if failed:
            memory.tokens, memory.row_tokens = failed.tokens, failed.row_tokens
            memory.largest_tokens, memory.longest_tokens = failed.largest_tokens, failed.longest_tokens
            memory.file, memory.line = failed.file, failed.line
        return memory

    def _remedies(self, profile: Profile, shape: ModelShape | None) -> str:
        if shape is None or self.mib is None:
            return ""
        rows = self._asked.pass_rows
        smaller = set_pass_rows(profile, rows) if rows < profile.pass_rows else None
        best = remedies(profile, shape, self.limited_machine, smaller)[:MAX_REMEDIES]
        text = "; ".join(map(str, best))
        return f"Set one of: {text}." if text else ""


def _describe_row(failed: FailedPass, probed_tokens: int) -> str:
    """Return a sentence about the rows of the pass."""
    row = f"line {failed.line:,} of {failed.file}" if failed.line else "a row"
    longer = f"; the probe had tried {probed_tokens:,}" if 0 < probed_tokens < failed.row_tokens else ""
    if failed.tokens == failed.row_tokens:
        return f" It was {row}, with {failed.row_tokens:,} tokens{longer}."
    return f" The pass had {failed.tokens:,} tokens; its longest row is {row}, with {failed.row_tokens:,}{longer}."


def _read_size(label: str, text: str) -> float:
    """Read the size in MiB that follows `label` in torch's message; 0 if there is none."""
    match = re.search(rf"{label} (\d+(?:\.\d+)?) (bytes|KiB|MiB|GiB)", text)
    if match is None:
        return 0.0
    return round(float(match[1]) * {"bytes": 1 / MIB, "KiB": 1 / 1024, "MiB": 1, "GiB": 1024}[match[2]], 2)
