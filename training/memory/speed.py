"""Estimates how fast a GPU fine-tunes a model, from the GPU's rates and the model's shape, before anything ran on it.

A pass takes the time of its arithmetic, of the weights that are read and unpacked, and of its many small kernels; or
the time that the CPU needs to launch the kernels, if that is much longer. Where both are alike, neither hides the
other, and the root of the sum of their squares is near what was measured. docs/measurements.md compares the estimate
with measurements. What moves between the card and host memory may be hidden behind the arithmetic or come on top of it.
"""

from __future__ import annotations

import functools
import math
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from training.contract.profile import Profile
from training.memory.activations import MASKED_SCORE_BYTES, MIN_PARKED_TOKENS, count_tile_tokens, masks_rows
from training.memory.forecast import STREAMED_LAYERS, streamed_bytes
from training.memory.model_shape import NEVER_PACKED, ModelShape

CARDS = Path(__file__).with_name("cards.toml")
FORWARD, BACKWARD = 2, 2  # floating point operations for each weight and token; frozen weights have no gradient
NF4_BYTES, HALF_BYTES = 0.52, 2  # of one weight
KERNELS_PER_LAYER = 250  # of a pass, forward and backward; torch before 2.12 needs more for packed rows
SLOW_LINK, FAST_LINK = 5e9, 24e9  # bytes a second between the card and host memory, in laptops and in desktops


@dataclass(frozen=True)
class Rates:
    """The rates of a GPU: floating point operations a second, and bytes of its memory a second."""

    operations: float
    bandwidth: float


@dataclass(frozen=True)
class Reach:
    """The share of the rates that a run reaches, and the seconds that a small kernel and its launch take."""

    operations: float
    bandwidth: float
    kernel_seconds: float
    launch_seconds: float


SLOW = Reach(0.5, 0.7, 2.5e-6, 55e-6)
FAST = Reach(0.8, 0.9, 1.5e-6, 35e-6)


@dataclass(frozen=True)
class Speed:
    """The lowest and the highest speed that is probable, in tokens a second. Both are equal for a measured speed."""

    slow: float
    fast: float

    @property
    def measured(self) -> bool:
        return self.slow == self.fast


@functools.cache
def _load_cards() -> dict[str, list[float]]:
    groups = tomllib.loads(CARDS.read_text(encoding="utf-8"))
    return {name: rates for group in groups.values() for name, rates in group.items()}


def find_rates(card: str) -> Rates | None:
    """Find the rates of the card that the driver calls `card`; None if they are not known."""
    laptop = "Laptop" in card
    names = [
        name for name in _load_cards() if ("Laptop" in name) == laptop and re.search(rf"\b{re.escape(name)}\b", card)
    ]
    if not names:
        return None
    operations, bandwidth = _load_cards()[max(names, key=len)]
    return Rates(operations * 1e12, bandwidth * 1e9)


def estimate_speed(profile: Profile, shape: ModelShape, card: str, row_tokens: float) -> Speed | None:
    """Estimate the speed of a run with rows of `row_tokens` tokens on average. Returns None if the rates of `card` are
    not known, or if layers wait in host memory: the time to move them is not known before a run."""
    rates = find_rates(card)
    if rates is None or profile.model.offload_layers or row_tokens <= 0:
        return None
    seconds = (_estimate_token(profile, shape, rates, reach, row_tokens) for reach in (SLOW, FAST))
    slow, fast = (profile.ranks / each for each in seconds)  # processes wait for each other for a few ms a step
    return Speed(slow, fast)


def estimate_slowdown(
    profile: Profile, changed: Profile, shape: ModelShape, card: str, row_tokens: float
) -> tuple[float, float] | None:
    """Estimate by which share the same rows take longer with `changed` than with `profile`: the lowest and the highest
    that are probable, where 0.1 is 10 % longer. Both have a number of offloaded layers. Returns None if the rates of
    `card` are not known."""
    rates = find_rates(card)
    if rates is None or row_tokens <= 0:
        return None
    ratios = []
    for reach in (SLOW, FAST):
        hidden, added = (
            [_estimate_with_moves(each, shape, rates, reach, row_tokens, is_hidden) for each in (profile, changed)]
            for is_hidden in (True, False)
        )
        ratios += [after / before for before, after in (hidden, added)]
    return min(ratios) - 1, max(ratios) - 1


def _estimate_with_moves(
    profile: Profile, shape: ModelShape, rates: Rates, reach: Reach, row_tokens: float, is_hidden: bool
) -> float:
    """The seconds for each token. What moves between the card and host memory is hidden behind the arithmetic, on a
    fast link, or comes on top of it, on a slow one."""
    seconds = _estimate_token(profile, shape, rates, reach, row_tokens)
    tokens = _count_pass_tokens(profile, shape, row_tokens)
    moved = _count_moved_bytes(profile, shape, tokens) / tokens
    return max(seconds, moved / FAST_LINK) if is_hidden else seconds + moved / SLOW_LINK


def _count_moved_bytes(profile: Profile, shape: ModelShape, tokens: float) -> float:
    """The bytes that a pass moves between the card and host memory: layers twice, the inputs of layers there and back,
    and the rows of the embedding."""
    model = profile.model
    layers = max(0, int(model.offload_layers) - STREAMED_LAYERS)
    moved = 2 * layers * streamed_bytes(profile, shape)
    inputs = 2 * tokens * shape.hidden_size
    if profile.training.gradient_checkpointing == "unsloth" and model.max_seq_length >= MIN_PARKED_TOKENS:
        moved += 2 * shape.num_hidden_layers * inputs
    return moved + (inputs if model.offload_embedding and not shape.tie_word_embeddings else 0)


def _estimate_token(profile: Profile, shape: ModelShape, rates: Rates, reach: Reach, row_tokens: float) -> float:
    tokens = _count_pass_tokens(profile, shape, row_tokens)
    return _estimate_pass(profile, shape, rates, reach, tokens, row_tokens) / tokens


def packs_rows(profile: Profile, shape: ModelShape) -> bool:
    """Whether the rows of a step are packed into passes. Else the rows of a batch are padded."""
    return profile.training.packing != "off" and shape.model_type not in NEVER_PACKED


def _count_pass_tokens(profile: Profile, shape: ModelShape, row_tokens: float) -> float:
    """The tokens of one pass: of a batch, or of as many rows of a step as fit into a packed pass."""
    if not packs_rows(profile, shape):
        return profile.training.per_device_train_batch_size * row_tokens
    largest = profile.pass_rows * profile.model.max_seq_length
    return min(profile.step_rows * row_tokens, max(largest, row_tokens))


def _estimate_pass(
    profile: Profile, shape: ModelShape, rates: Rates, reach: Reach, tokens: float, row_tokens: float
) -> float:
    """The seconds of a pass over `tokens` tokens, forward and backward."""
    layers = shape.num_hidden_layers
    linear = layers * shape.layer_parameters
    forwards = 2 if profile.training.gradient_checkpointing else 1  # checkpointing repeats the forward pass
    operations = tokens * linear * (forwards * FORWARD + BACKWARD)
    operations += tokens * shape.embedding_parameters * (FORWARD + BACKWARD)
    attended = 2 * tokens if masks_rows(profile, shape) else row_tokens  # causal: half of the scores of a row
    operations += tokens * layers * 2 * attended * shape.num_attention_heads * shape.head_dim * (forwards + 2)
    weight_bytes = NF4_BYTES + 2 * HALF_BYTES if profile.model.load_in_4bit else HALF_BYTES  # unpacked, then read
    tiles = max(1.0, tokens / count_tile_tokens(profile.training.loss_tile_mib))  # each reads the output head
    moved = (forwards + 1) * linear * weight_bytes + tiles * 2 * shape.embedding_parameters * HALF_BYTES
    if masks_rows(profile, shape):  # the scores are written and read: half of the bytes forward, all of them backward
        moved += (forwards + 2) * MASKED_SCORE_BYTES * layers * tokens**2 * shape.num_attention_heads
    kernels = layers * KERNELS_PER_LAYER
    busy = (
        operations / (rates.operations * reach.operations)
        + moved / (rates.bandwidth * reach.bandwidth)
        + kernels * reach.kernel_seconds
    )
    return math.hypot(busy, kernels * reach.launch_seconds)
