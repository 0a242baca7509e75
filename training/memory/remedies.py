"""Finds changes of a profile that reduce its GPU memory, with how much each frees and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from training.contract.profile import Profile
from training.memory.forecast import STREAMED_LAYERS, Machine, Remedy, forecast
from training.memory.model_shape import ModelShape

MIN_FREED_MIB = 8
MIN_SEQ_LENGTH = 256
MIN_RANK = 8
ATTENTION_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj"]


def remedies(profile: Profile, shape: ModelShape, machine: Machine) -> list[Remedy]:
    """Find the changes that help: first those that are enough alone, and among them the cheapest first.

    A change is enough if the run then fits, or fits tightly if it doesn't fit at all now.
    """
    machine = replace(machine, measured=None)  # a measurement holds only for the profile as it is
    before = forecast(profile, shape, machine)
    # With "auto", the run would use the memory that a change frees to keep more layers on the GPU.
    profile = profile.with_value("model.offload_layers", before.offload_layers)
    enough = ("fits",) if before.verdict == "tight" else ("fits", "tight")

    def fits(candidate: Profile) -> bool:
        return forecast(candidate, shape, machine).verdict in enough

    helpful = []
    for field, value, cost in _candidates(profile, shape, fits):
        candidate = profile.with_value(field, value)
        freed = before.device_mib - forecast(candidate, shape, machine).device_mib
        if freed >= MIN_FREED_MIB:
            helpful.append(Remedy(field, value, round(freed), cost, fits(candidate)))
    return sorted(helpful, key=lambda remedy: not remedy.fits)


def _candidates(profile: Profile, shape: ModelShape, fits: Callable[[Profile], bool]) -> Iterator[tuple[str, Any, str]]:
    """Yield (field, value, cost in words), the cheapest first."""
    training, model, lora = profile.training, profile.model, profile.lora
    if not training.optim.endswith("8bit"):
        yield "training.optim", "adamw_8bit", "almost no quality"
    if training.gradient_checkpointing != "unsloth":
        yield "training.gradient_checkpointing", "unsloth", "slightly slower steps and page-locked host memory"
    if model.offload_embedding is False and not shape.tie_word_embeddings:
        yield "model.offload_embedding", True, "slightly slower steps"
    for tile in (64, 16):
        if training.loss_tile_mib > tile:
            yield "training.loss_tile_mib", tile, "slower steps"
            break
    if training.per_device_train_batch_size > 1:
        yield (
            "training.per_device_train_batch_size",
            training.per_device_train_batch_size // 2,
            "slower epochs; double gradient_accumulation_steps to keep the effective batch size",
        )
    if training.gradient_checkpointing and (layers := _offload_enough_layers(profile, shape, fits)):
        yield "model.offload_layers", layers, "slower steps and host memory"
    if lora.r > MIN_RANK:
        yield "lora.r", max(MIN_RANK, lora.r // 2), "some capacity of the adapter"
    if model.max_seq_length > MIN_SEQ_LENGTH:
        yield "model.max_seq_length", _shorten_enough(profile, fits), "the end of longer rows, which is cut off"
    if not {*lora.target_modules} <= {*ATTENTION_MODULES}:
        yield (
            "lora.target_modules",
            [name for name in lora.target_modules if name in ATTENTION_MODULES] or ATTENTION_MODULES,
            "some capacity of the adapter",
        )


def _offload_enough_layers(profile: Profile, shape: ModelShape, fits: Callable[[Profile], bool]) -> int | None:
    """Find the smallest number of offloaded layers that is enough. If none is, return the largest possible one; None if
    no further layer can be offloaded."""
    first = max(STREAMED_LAYERS, int(profile.model.offload_layers)) + 1
    counts = range(first, shape.num_hidden_layers)
    enough = (count for count in counts if fits(profile.with_value("model.offload_layers", count)))
    return next(enough, counts[-1] if counts else None)


def _shorten_enough(profile: Profile, fits: Callable[[Profile], bool]) -> int:
    """Find the longest sequence length, in steps of 256, that is enough. If none is, return half of the current one."""
    current = profile.model.max_seq_length
    lengths = range((current - 1) // 256 * 256, MIN_SEQ_LENGTH - 1, -256)
    enough = (length for length in lengths if fits(profile.with_max_seq_length(length)))
    return next(enough, max(MIN_SEQ_LENGTH, current // 2))
