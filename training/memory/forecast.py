"""How much memory a fine-tune will take, before anything is loaded: a pure function of profile and model shape.

The terms are what Unsloth's kernels keep; the few numbers in capitals were calibrated on docs/memory.csv, and
`tests/unit/test_forecast.py` holds the whole to every row of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from training.contract.profile import Profile
from training.memory.model_shape import ModelShape, NoShape

Verdict = Literal["fits", "tight", "no"]

MIB = 2**20
NF4 = 0.515869
"""Bytes of a 4-bit weight: half of one, a scale for every 64 in 8 bits, and a scale of those for every 256."""
STREAMED_LAYERS = 3  # of the offloaded ones are on the card at a time: one at work, two on their way
ROPE_ROWS = 32768  # of the tables of cosines and sines that Unsloth begins with
LOSS_COLUMNS = 16384  # of the vocabulary that one tile of the loss takes
KEPT_ON_CARD = 4  # layers' inputs that "unsloth" checkpointing has on the card at the peak as well
SMALLEST_PARKED = 2 * MIB  # inputs up to this size stay on the card
SHORTEST_PARKED = 512  # tokens; below, Unsloth takes plain checkpointing

WORKSPACE = 32 * MIB  # of cuBLAS
SCRATCH = 2.12  # largest linear weights in 16 bits: one dequantised, one kept for the next
LORA_COPIES = 1.09  # 16-bit copies of one layer's adapter, against its 32-bit weights
FURTHER = 28 * MIB  # small things that no term names
SLACK, SLACK_OF_ACTIVATIONS = 28.0 * MIB, 0.031  # what the allocator reserves and can't use
FIXED_SLACK, MOST_FIXED_SLACK = 0.55, 440 * MIB  # likewise where segments can't grow, as under WSL2
SQUEEZED = 0.5  # of that slack stays where a limit makes the allocator give back what it does not use
CONTEXT_MIB = 828.0
"""The CUDA context and the libraries' kernels, measured on an H100; a smaller card needs less. The probe learns it."""

TIGHT = 0.95  # of the limit, from where on it is tight: the forecast holds within 5 %
NEARLY_ALL = 0.99  # of the limit: what "auto" makes use of where rows of full length were measured


@dataclass(frozen=True)
class Measured:
    """What a probe of this very profile took on this card: rows of `tokens` tokens, MiB of the allocator, with
    `offload_layers` layers in host memory."""

    tokens: int
    reserved_mib: float
    offload_layers: int


@dataclass(frozen=True)
class Machine:
    """What the forecast has to know of the machine: the card's size in MiB (None: no card), what the context takes on
    it, whether the allocator's segments can grow (not under WSL2), and what was measured here."""

    card_mib: float | None = None
    context_mib: float = CONTEXT_MIB
    expandable_segments: bool = True
    measured: Measured | None = None


@dataclass(frozen=True)
class Forecast:
    """Peak memory in MiB. `components` add up to `device_mib`; `reserved_mib` is the allocator's part of it.

    The components are weights, lora (with its gradients), optimizer, activations (with what the kernels and the
    allocator need beside), loss_head (what the loss takes beyond the layers' peak) and context. `limit_mib` is the most
    that the run may take: hardware.vram_limit_mib, or the card less the display reserve; None where neither is known.
    `measured` says that a probe on this card corrected it.
    """

    components: dict[str, float]
    reserved_mib: float
    device_mib: float
    display_mib: float
    limit_mib: float | None
    card_mib: float | None
    offload_layers: int
    measured: bool = False
    tight_from: float = TIGHT

    @property
    def verdict(self) -> Verdict | None:
        """None where no limit is known."""
        if self.limit_mib is None:
            return None
        if self.device_mib > self.limit_mib:
            return "no"
        return "tight" if self.device_mib > self.tight_from * self.limit_mib else "fits"


@dataclass(frozen=True)
class Remedy:
    """Set `field` to `value`: `frees_mib` is what it gives back, `cost` what it costs, in words; `fits` says that it is
    enough by itself. `training.memory.remedies` finds them."""

    field: str
    value: Any
    frees_mib: float
    cost: str
    fits: bool = False


def forecast(profile: Profile, shape: ModelShape, machine: Machine = Machine()) -> Forecast:
    """The peak over loading and training, every row being as long as max_seq_length allows.

    `offload_layers = "auto"` counts as the fewest layers that fit, and as all but one where nothing fits.
    """
    limit = limit_mib(profile, machine.card_mib)
    asked = profile.model.offload_layers
    if asked == "auto":
        asked = fewest_layers(profile, shape, machine, limit)
    layers = min(asked, shape.num_hidden_layers - 1)
    parts = _parts(profile, shape, machine, layers, limit)
    parts["activations"] += _correction(profile, shape, machine, limit)
    reserved = sum(parts.values())
    measured = machine.measured
    return Forecast(
        components={**parts, "context": machine.context_mib},
        reserved_mib=reserved,
        device_mib=reserved + machine.context_mib,
        display_mib=float(profile.hardware.display_reserve_mib),
        limit_mib=limit,
        card_mib=machine.card_mib,
        offload_layers=layers,
        measured=measured is not None,
        # What was measured with rows as long as these needs no margin for a forecast's error.
        tight_from=1.0 if measured and measured.tokens >= TIGHT * profile.model.max_seq_length else TIGHT,
    )


def limit_mib(profile: Profile, card_mib: float | None) -> float | None:
    """The most that the run may take of a card of `card_mib`; None where neither card nor limit is known."""
    left = None if card_mib is None else max(0.0, card_mib - profile.hardware.display_reserve_mib)
    known = [limit for limit in (left, profile.hardware.vram_limit_mib) if limit is not None]
    return min(known, default=None)


def fewest_layers(profile: Profile, shape: ModelShape, machine: Machine, limit: float | None) -> int:
    """Layers to offload so that the run fits into `limit` MiB even where the forecast is a little off; all but one
    where nothing is enough."""
    last = shape.num_hidden_layers - 1
    if limit is None:
        return 0
    measured = machine.measured
    known = measured is not None and measured.tokens >= TIGHT * profile.model.max_seq_length
    room = (NEARLY_ALL if known else TIGHT) * limit - machine.context_mib - _correction(profile, shape, machine, limit)
    for layers in (0, *range(STREAMED_LAYERS + 1, last)):
        if sum(_parts(profile, shape, machine, layers, limit).values()) <= room:
            return layers
    return last


def _correction(profile: Profile, shape: ModelShape, machine: Machine, limit: float | None) -> float:
    """MiB by which the probe of this profile on this card was off what is forecast of it."""
    if (measured := machine.measured) is None:
        return 0.0
    model = profile.model.model_copy(update={"max_seq_length": measured.tokens})
    probed = profile.model_copy(update={"model": model})
    return measured.reserved_mib - sum(_parts(probed, shape, machine, measured.offload_layers, limit).values())


def check_modules(profile: Profile, shape: ModelShape) -> None:
    """Raises NoShape for an adapter on modules whose size is not known."""
    for module in profile.lora.target_modules:
        if shape.linear(module) is None:
            raise NoShape(f"lora.target_modules has {module}, whose size is not known")
    for module in profile.lora.modules_to_save:
        if module not in ("embed_tokens", "lm_head"):
            raise NoShape(f"lora.modules_to_save has {module}, whose size is not known")


def _parts(
    profile: Profile, shape: ModelShape, machine: Machine, offloaded: int, limit: float | None
) -> dict[str, float]:
    """The allocator's part by component, in MiB; the peak of loading where that is the higher one."""
    trainable = list(trainable_tensors(profile, shape))
    adapter = sum(trainable)
    weights = _weights(profile, shape, offloaded)
    lora = 8 * adapter  # float32 weights and their gradients
    optimizer = optimizer_bytes(trainable, profile.training.optim)
    rows, loss = _step(profile, shape)
    tables = 4 * max(ROPE_ROWS, profile.model.max_seq_length) * shape.head_dim
    scratch = SCRATCH * 2 * shape.hidden_size * shape.intermediate_size
    activations = rows + scratch + LORA_COPIES * 4 * adapter / shape.num_hidden_layers + tables + FURTHER
    if profile.training.optim == "adamw_torch":  # its step makes a copy of what it moves, when the activations are gone
        activations = max(activations, 4 * adapter + 2 * scratch)
    moved = 2 * shape.embedding_parameters if _embedding_offloaded(profile, shape) else 0
    if machine.expandable_segments:
        slack = SLACK + SLACK_OF_ACTIVATIONS * activations
    else:
        slack = min(FIXED_SLACK * rows, MOST_FIXED_SLACK)
        if limit is not None:
            used = weights + lora + optimizer + activations + loss + WORKSPACE
            slack = max(SQUEEZED * slack, min(slack, (limit - machine.context_mib) * MIB - used))
    # The embedding goes to the host only when all is loaded.
    loading = max(0.0, moved - (lora + optimizer + activations + loss))
    parts = {
        "weights": weights + loading,
        "lora": lora,
        "optimizer": optimizer,
        "activations": activations + WORKSPACE + slack,
        "loss_head": loss,
    }
    return {name: value / MIB for name, value in parts.items()}


def trainable_tensors(profile: Profile, shape: ModelShape) -> Iterator[int]:
    """Elements of each trainable tensor."""
    r = profile.lora.r
    for module in profile.lora.target_modules:
        if size := shape.linear(module):
            for features in size:
                yield from [features * r] * shape.num_hidden_layers
    for _ in profile.lora.modules_to_save:
        yield shape.embedding_parameters


def _weights(profile: Profile, shape: ModelShape, offloaded: int) -> float:
    """Bytes of the layers on the card, of the embedding and of the head."""
    plain = _plain_bytes(profile)
    each = NF4 if profile.model.load_in_4bit else plain
    norms = plain * (2 * shape.num_hidden_layers + 1) * shape.hidden_size
    away = max(0, offloaded - STREAMED_LAYERS) * streamed_bytes(profile, shape)
    layers = each * shape.layer_parameters * shape.num_hidden_layers + norms - away
    copies = 1 if shape.tie_word_embeddings or _embedding_offloaded(profile, shape) else 2
    return layers + plain * shape.embedding_parameters * copies


def streamed_bytes(profile: Profile, shape: ModelShape) -> float:
    """Of an offloaded layer: its weights as they are stored, whose scales stay on the card."""
    return (0.5 if profile.model.load_in_4bit else _plain_bytes(profile)) * shape.layer_parameters


def _plain_bytes(profile: Profile) -> float:
    """Of a weight that is not quantised."""
    return 4.0 if profile.model.dtype == "float32" else 2.0


def _embedding_offloaded(profile: Profile, shape: ModelShape) -> bool:
    return profile.model.offload_embedding and not shape.tie_word_embeddings


def _step(profile: Profile, shape: ModelShape) -> tuple[float, float]:
    """Bytes that the rows take at the peak of forward and backward, and how much more the loss takes than the layers.

    One layer keeps its input, both norms' outputs, queries, keys, values, attention's output and the three inner
    activations; the layers' inputs lie on the card or on the host, by the kind of checkpointing.
    """
    tokens = profile.model.max_seq_length * profile.training.per_device_train_batch_size
    hidden, inner = 2 * tokens * shape.hidden_size, 2 * tokens * shape.intermediate_size
    attention = 4 * tokens * (shape.num_attention_heads + shape.num_key_value_heads) * shape.head_dim
    checkpointing = profile.training.gradient_checkpointing
    if checkpointing is False:
        layers = shape.num_hidden_layers * (4.25 * hidden + attention + 2.5 * inner)
    else:
        parks = checkpointing == "unsloth" and profile.model.max_seq_length >= SHORTEST_PARKED
        on_card = KEPT_ON_CARD if parks and hidden > SMALLEST_PARKED else shape.num_hidden_layers
        layers = (6 + on_card) * hidden + attention + 3 * inner
    layers += 4 * tokens * (shape.num_attention_heads + 2)  # statistics of attention and norms
    tile = min(4096, tokens, max(1, profile.training.loss_tile_mib * MIB // (4 * LOSS_COLUMNS)))
    loss = 6 * hidden + tile * (4 * LOSS_COLUMNS + 6 * shape.hidden_size)
    return layers, max(0.0, loss - layers)


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
