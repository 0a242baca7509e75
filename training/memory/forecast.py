"""Forecasts the GPU memory of a fine-tune before anything is loaded, as a pure function of profile and model shape.

The terms follow from the tensors that Unsloth's kernels keep. A few constants were calibrated on docs/memory.csv, and
tests/unit/memory/test_forecast.py checks the forecast against every row of that table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from training.contract.profile import Profile
from training.contract.units import MIB
from training.memory.activations import compute_pass_bytes, compute_tile_bytes
from training.memory.model_shape import ModelShape, NoShape

Verdict = Literal["fits", "tight", "no"]

NF4_BYTES = 0.515869
"""Bytes of one 4-bit weight, with an 8-bit scale for every 64 weights and a 32-bit scale for every 256 of those."""
STREAMED_LAYERS = 3  # offloaded layers that are on the GPU at one time: one in use, two on their way
WHOLE_SHARE = 0.4  # of a card: Unsloth's FSDP2 leaves a model whole that takes no more
GATHERED_LAYERS = 2  # of a model of which each card keeps a share: one in use, one on its way
ROPE_ROWS = 32768  # initial length of Unsloth's tables of cosines and sines

WORKSPACE = 32 * MIB  # cuBLAS' workspace
SCRATCH = 2.12  # times the largest linear weight in 16 bits: one dequantised, one kept for the next use
LORA_COPIES = 1.09  # 16-bit copies of one layer's adapter, as a share of its 32-bit weights
OTHER = 28 * MIB  # small tensors that have no term of their own
SLACK, SLACK_SHARE = 28.0 * MIB, 0.031  # memory that the allocator reserves and can't use; the share is of activations
# The same where the allocator's segments can't grow, as under WSL2. A block that is not split serves one size alone.
FIXED_SLACK_SHARE, MAX_FIXED_SLACK, UNSPLIT_BYTES = 0.62, 450 * MIB, 256 * MIB
SLACK_SHARE_UNDER_LIMIT = (
    0.5  # share of that slack that remains when a limit forces the allocator to free unused blocks
)
CONTEXT_MIB = 828.0
"""The CUDA context and the libraries' kernels, measured on an H100. Smaller GPUs need less; the probe measures it."""
NCCL_MIB = 780.0
"""What NCCL takes for its buffers and kernels on each card, where several processes train together."""

TIGHT_SHARE = 0.95  # a run is tight from this share of the limit on, because forecasts are right within 5 %
MEASURED_SHARE = 0.99  # "auto" uses this share of the limit if rows of full length were measured


@dataclass(frozen=True)
class Measured:
    """A probe's measurement for the same profile on this GPU: with rows of `tokens` tokens and `offload_layers` layers
    in host memory, the allocator reserved `reserved_mib`. The largest pass of an evaluation had `eval_tokens`, 0 if
    that is not known."""

    tokens: int
    reserved_mib: float
    offload_layers: int
    eval_tokens: int = 0


@dataclass(frozen=True)
class Machine:
    """What a forecast depends on besides the profile and the model.

    `card_mib` is the GPU's size, or None without a GPU. `context_mib` is the size of the CUDA context.
    `expandable_segments` says whether the allocator's segments can grow; under WSL2 they can't. `card` is the driver's
    name of the GPU, which tells how fast it is.
    """

    card_mib: float | None = None
    context_mib: float = CONTEXT_MIB
    expandable_segments: bool = True
    measured: Measured | None = None
    card: str = ""


@dataclass(frozen=True)
class Forecast:
    """Peak memory in MiB. `components` add up to `device_mib`; `reserved_mib` is the allocator's part of it.

    The components are weights, lora (with its gradients), optimizer, activations (with the scratch memory of kernels
    and allocator), loss_head (what the loss needs beyond the layers' peak) and context. `limit_mib` is what the run may
    use: hardware.vram_limit_mib, or the GPU's size less the display reserve; None if neither is known. `measured` says
    whether a probe on this GPU corrected the forecast. Each of `cards` cards needs all of it.
    """

    components: dict[str, float]
    reserved_mib: float
    device_mib: float
    display_mib: float
    limit_mib: float | None
    card_mib: float | None
    offload_layers: int
    measured: bool = False
    tight_from: float = TIGHT_SHARE
    cards: int = 1

    @property
    def fits(self) -> bool | None:
        """Whether the run fits, well or tightly; None if no limit is known."""
        return None if self.limit_mib is None else self.device_mib <= self.limit_mib

    @property
    def verdict(self) -> Verdict | None:
        """How well the run fits; None if no limit is known."""
        if self.limit_mib is None:
            return None
        if not self.fits:
            return "no"
        return "tight" if self.device_mib > self.tight_from * self.limit_mib else "fits"


def forecast(profile: Profile, shape: ModelShape, machine: Machine = Machine()) -> Forecast:
    """Forecast the peak over loading and training, if every row is as long as max_seq_length allows.

    `offload_layers = "auto"` counts as the smallest number of layers that fits, or as all but one if none fits.
    """
    limit = limit_mib(profile, machine.card_mib)
    requested = profile.model.offload_layers
    if requested == "auto":
        requested = find_fewest_layers(profile, shape, machine, limit)
    layers = min(requested, shape.num_hidden_layers - 1)
    parts = _parts(profile, shape, machine, layers, limit)
    parts["activations"] += _correction(profile, shape, machine, limit)
    reserved = sum(parts.values())
    context = machine.context_mib + compute_nccl_mib(profile)
    measured = machine.measured
    return Forecast(
        components={**parts, "context": context},
        reserved_mib=reserved,
        device_mib=reserved + context,
        display_mib=float(profile.hardware.display_reserve_mib),
        limit_mib=limit,
        card_mib=machine.card_mib,
        offload_layers=layers,
        measured=measured is not None,
        cards=profile.processes,
        # A measurement with rows of nearly full length needs no margin for errors.
        tight_from=1.0 if measured and measured.tokens >= TIGHT_SHARE * profile.model.max_seq_length else TIGHT_SHARE,
    )


def shorten_rows(profile: Profile, tokens: int, eval_tokens: int = 0) -> Profile:
    """Return `profile` with rows of `tokens` tokens, for a forecast of shorter rows than max_seq_length allows. The
    largest pass of its evaluations has `eval_tokens`, or as many such rows as the profile says if that is 0."""
    profile = profile.with_max_seq_length(tokens)
    if not eval_tokens:
        return profile
    return profile.with_value("evaluation.per_device_eval_batch_size", math.ceil(eval_tokens / tokens))


def compute_nccl_mib(profile: Profile) -> float:
    """Compute how much more than the CUDA context a process takes outside the allocator if it trains with others."""
    return NCCL_MIB if profile.ranks > 1 else 0.0


def limit_mib(profile: Profile, card_mib: float | None) -> float | None:
    """Compute how much of a GPU of `card_mib` the run may use; None if neither the GPU nor a limit is known."""
    available = None if card_mib is None else max(0.0, card_mib - profile.hardware.display_reserve_mib)
    limits = [limit for limit in (available, profile.hardware.vram_limit_mib) if limit is not None]
    return min(limits, default=None)


def find_fewest_layers(profile: Profile, shape: ModelShape, machine: Machine, limit: float | None) -> int:
    """Find the smallest number of offloaded layers with which the run fits into `limit` MiB, with a margin for the
    forecast's error. Returns all but one if no number is enough."""
    most = shape.num_hidden_layers - 1
    if limit is None:
        return 0
    measured = machine.measured
    is_measured = measured is not None and measured.tokens >= TIGHT_SHARE * profile.model.max_seq_length
    usable = (MEASURED_SHARE if is_measured else TIGHT_SHARE) * limit
    room = usable - machine.context_mib - _correction(profile, shape, machine, limit)
    for layers in (0, *range(STREAMED_LAYERS + 1, most)):
        if sum(_parts(profile, shape, machine, layers, limit).values()) <= room:
            return layers
    return most


def _correction(profile: Profile, shape: ModelShape, machine: Machine, limit: float | None) -> float:
    """Compute by how many MiB the probe's measurement differs from the forecast for the same rows."""
    if (measured := machine.measured) is None:
        return 0.0
    probed = shorten_rows(profile, measured.tokens, measured.eval_tokens)
    return measured.reserved_mib - sum(_parts(probed, shape, machine, measured.offload_layers, limit).values())


def check_modules(profile: Profile, shape: ModelShape) -> None:
    """Raise NoShape if the adapter is on modules whose size is not known."""
    for module in profile.lora.target_modules:
        if shape.linear(module) is None:
            raise NoShape(f"lora.target_modules has {module}, whose size is not known")
    for module in profile.lora.modules_to_save:
        if module not in ("embed_tokens", "lm_head"):
            raise NoShape(f"lora.modules_to_save has {module}, whose size is not known")


def _parts(
    profile: Profile, shape: ModelShape, machine: Machine, offloaded: int, limit: float | None
) -> dict[str, float]:
    """Compute the allocator's memory by component, in MiB. If loading needs more than training, loading counts."""
    trainable = list(trainable_tensors(profile, shape))
    adapter = sum(trainable)
    weights = whole = _weights(profile, shape, offloaded)
    copies = 1 if profile.ranks == 1 else 2  # of the gradients: processes send each other theirs from buckets
    lora = 4.0 * adapter * (1 + copies)  # weights and gradients in float32
    optimizer: float = optimizer_bytes(trainable, profile.training.optim)
    if profile.is_sharded:
        share = 1 / profile.ranks
        lora, optimizer = 8 * adapter * share, optimizer * share
        if not machine.card_mib or whole > WHOLE_SHARE * machine.card_mib * MIB:
            weights -= (1 - share) * max(0, shape.num_hidden_layers - GATHERED_LAYERS) * _layer_bytes(profile, shape)
    rows, loss = compute_pass_bytes(profile, shape)
    tables = 4 * max(ROPE_ROWS, profile.model.max_seq_length) * shape.head_dim
    scratch = SCRATCH * 2 * shape.hidden_size * shape.intermediate_size
    activations = rows + scratch + LORA_COPIES * 4 * adapter / shape.num_hidden_layers + tables + OTHER
    if profile.training.optim == "adamw_torch":  # its step copies the adapter, after the activations are freed
        activations = max(activations, 4 * adapter + 2 * scratch)
    embedding = 2 * shape.embedding_parameters if _embedding_offloaded(profile, shape) else 0
    if machine.expandable_segments:
        slack = SLACK + SLACK_SHARE * activations
    else:
        tile = compute_tile_bytes(profile)
        slack = min(FIXED_SLACK_SHARE * rows, MAX_FIXED_SLACK) + (tile if tile >= UNSPLIT_BYTES else 0)
        if limit is not None:
            used = weights + lora + optimizer + activations + loss + WORKSPACE
            slack = max(SLACK_SHARE_UNDER_LIMIT * slack, min(slack, (limit - machine.context_mib) * MIB - used))
    # An offloaded embedding moves to host memory, and the other shares of a model to other cards, only when everything
    # is loaded.
    loading = max(0.0, whole + embedding - (weights + lora + optimizer + activations + loss))
    parts = {
        "weights": weights + loading,
        "lora": lora,
        "optimizer": optimizer,
        "activations": activations + WORKSPACE + slack,
        "loss_head": loss,
    }
    return {name: value / MIB for name, value in parts.items()}


def trainable_tensors(profile: Profile, shape: ModelShape) -> Iterator[int]:
    """Yield the number of elements of each trainable tensor."""
    r = profile.lora.r
    for module in profile.lora.target_modules:
        if size := shape.linear(module):
            for features in size:
                yield from [features * r] * shape.num_hidden_layers
    for _ in profile.lora.modules_to_save:
        yield shape.embedding_parameters


def _weights(profile: Profile, shape: ModelShape, offloaded: int) -> float:
    """Compute the bytes of the layers on the GPU, of the embedding and of the head."""
    plain = _unquantised_bytes(profile)
    norms = plain * (2 * shape.num_hidden_layers + 1) * shape.hidden_size
    in_host_memory = max(0, offloaded - STREAMED_LAYERS) * streamed_bytes(profile, shape)
    layers = _layer_bytes(profile, shape) * shape.num_hidden_layers + norms - in_host_memory
    embeddings = 1 if shape.tie_word_embeddings or _embedding_offloaded(profile, shape) else 2
    return layers + plain * shape.embedding_parameters * embeddings


def _layer_bytes(profile: Profile, shape: ModelShape) -> float:
    """Compute the bytes of the large weights of one layer, with their scales."""
    return (NF4_BYTES if profile.model.load_in_4bit else _unquantised_bytes(profile)) * shape.layer_parameters


def streamed_bytes(profile: Profile, shape: ModelShape) -> float:
    """Compute the bytes of one offloaded layer: its stored weights. Their scales stay on the GPU."""
    return (0.5 if profile.model.load_in_4bit else _unquantised_bytes(profile)) * shape.layer_parameters


def _unquantised_bytes(profile: Profile) -> float:
    """Return the bytes of one weight that is not quantised."""
    return 4.0 if profile.model.dtype == "float32" else 2.0


def _embedding_offloaded(profile: Profile, shape: ModelShape) -> bool:
    return profile.model.offload_embedding and not shape.tie_word_embeddings


def optimizer_bytes(sizes: Iterable[int], optim: str) -> int:
    """Compute the bytes of the optimizer's state on the GPU, for trainable tensors with `sizes` elements.

    There are two moments for each element. In 8 bits, as bitsandbytes stores them, they take one byte each, with a
    scale for every 256 elements. Small tensors, and all others, take four bytes each.
    """
    total = 0
    for size in sizes:
        if not optim.endswith("8bit") or size < 4096:
            total += 8 * size
        elif optim.startswith("paged") and size >= 100_000:
            total += 8 * math.ceil(size / 256)  # the moments themselves are in managed memory
        else:
            total += 2 * size + 8 * math.ceil(size / 256)
    return total
