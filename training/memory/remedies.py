"""What makes a fine-tune smaller: each change with how much it gives back and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from training.contract.profile import Profile
from training.memory.forecast import STREAMED_LAYERS, Machine, Remedy, forecast
from training.memory.model_shape import ModelShape

LEAST_MIB = 8  # a smaller gain is no remedy
SHORTEST = 256
Fits = Callable[[Profile], bool]
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def remedies(profile: Profile, shape: ModelShape, machine: Machine) -> list[Remedy]:
    """Those that are enough by themselves first, and of each half the ones that cost least first. Enough is what fits,
    or fits tightly where nothing did before."""
    machine = replace(machine, measured=None)  # what was measured holds for this profile alone
    now = forecast(profile, shape, machine)
    profile = changed(profile, "model.offload_layers", now.offload_layers)  # else "auto" takes up what a remedy gives
    enough = ("fits",) if now.verdict == "tight" else ("fits", "tight")

    def fits(changed: Profile) -> bool:
        return forecast(changed, shape, machine).verdict in enough

    found = []
    for field, value, cost in _candidates(profile, shape, fits):
        after = changed(profile, field, value)
        frees = now.device_mib - forecast(after, shape, machine).device_mib
        if frees >= LEAST_MIB:
            found.append(Remedy(field, value, round(frees), cost, fits(after)))
    return sorted(found, key=lambda remedy: not remedy.fits)


def changed(profile: Profile, field: str, value: Any) -> Profile:
    """`profile` with one field replaced, unchecked."""
    table, _, name = field.rpartition(".")
    return profile.model_copy(update={table: getattr(profile, table).model_copy(update={name: value})})


def _candidates(profile: Profile, shape: ModelShape, fits: Fits) -> Iterator[tuple[str, Any, str]]:
    """(field, value, cost), cheapest first."""
    training, model, lora = profile.training, profile.model, profile.lora
    if not training.optim.endswith("8bit"):
        yield "training.optim", "adamw_8bit", "next to nothing in what is learned"
    if training.gradient_checkpointing != "unsloth":
        yield "training.gradient_checkpointing", "unsloth", "slightly slower steps, and page-locked host memory"
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
            "a slower epoch; double gradient_accumulation_steps to keep the size of a step",
        )
    if training.gradient_checkpointing and (layers := _enough_layers(profile, shape, fits)):
        yield "model.offload_layers", layers, "slower steps, and host memory"
    if lora.r > 8:
        yield "lora.r", max(8, lora.r // 2), "some of what the adapter can learn"
    if model.max_seq_length > SHORTEST:
        yield "model.max_seq_length", _enough_tokens(profile, fits), "the end of longer rows, which is cut"
    if not {*lora.target_modules} <= {*ATTENTION}:
        yield (
            "lora.target_modules",
            [name for name in lora.target_modules if name in ATTENTION] or ATTENTION,
            ("some of what the adapter can learn"),
        )


def _enough_layers(profile: Profile, shape: ModelShape, fits: Fits) -> int | None:
    """The fewest further layers that are enough, else all that can go; None where none can."""
    first = max(STREAMED_LAYERS, int(profile.model.offload_layers)) + 1
    every = range(first, shape.num_hidden_layers)
    return next((n for n in every if fits(changed(profile, "model.offload_layers", n))), every[-1] if every else None)


def _enough_tokens(profile: Profile, fits: Fits) -> int:
    """The longest sequence, in steps of 256, that is enough; half of what it is where none is."""
    longest = profile.model.max_seq_length
    every = range((longest - 1) // 256 * 256, SHORTEST - 1, -256)
    return next((n for n in every if fits(changed(profile, "model.max_seq_length", n))), max(SHORTEST, longest // 2))
