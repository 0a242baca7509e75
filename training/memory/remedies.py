"""Finds changes of a profile that reduce its GPU memory, with how much each frees and what it costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from training.contract.profile import Profile
from training.memory.forecast import STREAMED_LAYERS, Machine, forecast
from training.memory.model_shape import ModelShape
from training.memory.pass_size import BATCH, PACKING
from training.memory.speed import estimate_slowdown

MIN_FREED_MIB = 8
LOSS_TILES = (64, 16)  # MiB
MIN_SEQ_LENGTH = 256
MIN_RANK = 8
ATTENTION_MODULES = ["q_proj", "k_proj", "v_proj", "o_proj"]


@dataclass(frozen=True)
class Remedy:
    """A change that reduces memory: set `field` to `value`. `cost` says in words what it costs, and `fits` whether the
    run fits with this change alone. `longer` is the share by which the same rows take longer, from and to; None if it
    is not known, and `cost` then says in words that the run is slower."""

    field: str
    value: Any
    frees_mib: float
    cost: str
    fits: bool = False
    longer: tuple[float, float] | None = None

    @property
    def price(self) -> str:
        """What the change costs in time and otherwise, as "takes about 12 % longer; costs host memory"."""
        time = describe_longer(*self.longer) if self.longer else ""
        return "; ".join(filter(None, (time, self.cost and f"costs {self.cost}")))

    def __str__(self) -> str:
        """As "lora.r = 8 frees 310 MiB and takes about 12 % longer"."""
        time = f" and {describe_longer(*self.longer)}" if self.longer else ""
        return f"{self.field} = {json.dumps(self.value)} frees {self.frees_mib:,.0f} MiB{time}"


def describe_longer(low: float, high: float) -> str:
    """Say how much longer a run takes: "takes about 12 % longer". The shares are not exact."""
    first, last = (round(100 * share) for share in (low, high))
    if last < 1:
        return "takes hardly longer" if first > -1 else f"takes about {-first} % less time"
    if first < 1:
        return f"takes up to {last} % longer"
    return f"takes about {last} % longer" if last - first <= 2 else f"takes {first} to {last} % longer"


@dataclass(frozen=True)
class Candidate:
    """Set `field` to `value`. `slower` says in words that the run is slower, and `cost` what else it costs; either can
    be "". With "", `slower` says that the time hardly changes, or that it depends on the rows."""

    field: str
    value: Any
    slower: str = ""
    cost: str = ""


def remedies(profile: Profile, shape: ModelShape, machine: Machine, smaller: Profile | None = None) -> list[Remedy]:
    """Find the changes that help: first those that are enough alone, and among them the cheapest first. Their time is
    that of rows with max_seq_length tokens.

    A change is enough if the run then fits, or fits tightly if it doesn't fit at all now. `smaller` is the profile with
    its own passes, where packing = "auto" has chosen the larger ones of `profile`.
    """
    machine = replace(machine, measured=None)  # a measurement holds only for the profile as it is
    before = forecast(profile, shape, machine)
    # With "auto", the run would use the memory that a change frees to keep more layers on the GPU.
    profile = profile.with_value("model.offload_layers", before.offload_layers)
    enough = ("fits",) if before.verdict == "tight" else ("fits", "tight")

    def fits(candidate: Profile) -> bool:
        return forecast(candidate, shape, machine).verdict in enough

    helpful = []
    for candidate in _candidates(profile, shape, fits, is_enlarged=smaller is not None):
        changed = profile.with_value(candidate.field, candidate.value)
        if smaller and candidate.field == PACKING:
            changed = smaller.with_value("model.offload_layers", before.offload_layers)
        freed = before.device_mib - forecast(changed, shape, machine).device_mib
        if freed < MIN_FREED_MIB:
            continue
        longer = None
        if candidate.slower:
            longer = estimate_slowdown(profile, changed, shape, machine.card, profile.model.max_seq_length)
        costs = (candidate.cost,) if longer else (candidate.slower, candidate.cost)
        cost = " and ".join(filter(None, costs))
        helpful.append(Remedy(candidate.field, candidate.value, round(freed), cost, fits(changed), longer))
    return sorted(helpful, key=lambda remedy: not remedy.fits)


def _candidates(
    profile: Profile, shape: ModelShape, fits: Callable[[Profile], bool], *, is_enlarged: bool
) -> Iterator[Candidate]:
    """Yield changes, the cheapest first. `is_enlarged` says that packing = "auto" has chosen the size of the passes."""
    training, model, lora = profile.training, profile.model, profile.lora
    rows, eval_rows = training.per_device_train_batch_size, profile.evaluation.per_device_eval_batch_size
    if eval_rows > profile.pass_rows:
        yield Candidate("evaluation.per_device_eval_batch_size", profile.pass_rows, cost="slower evaluations")
    if is_enlarged:
        yield Candidate(PACKING, "pack", "slower epochs")
    elif profile.pass_rows > rows:
        yield Candidate(PACKING, "auto", "slower epochs")
    if not training.optim.endswith("8bit"):
        yield Candidate("training.optim", "adamw_8bit", cost="almost no quality")
    if training.gradient_checkpointing != "unsloth":
        yield Candidate(
            "training.gradient_checkpointing", "unsloth", "slightly slower steps", "page-locked host memory"
        )
    can_offload = profile.ranks == 1  # several processes keep the whole model on their cards
    if can_offload and model.offload_embedding is False and not shape.tie_word_embeddings:
        yield Candidate("model.offload_embedding", True, "slightly slower steps", "host memory")
    for tile in LOSS_TILES:
        if training.loss_tile_mib > tile:
            yield Candidate("training.loss_tile_mib", tile, "slower steps")
            break
    if rows > 1 and rows == profile.pass_rows and not is_enlarged:
        doubled = "" if training.packing == "flatten" else ", unless you double gradient_accumulation_steps"
        yield Candidate(BATCH, rows // 2, "slower epochs", f"half of the rows a step{doubled}")
    if can_offload and training.gradient_checkpointing and (layers := _offload_enough_layers(profile, shape, fits)):
        yield Candidate("model.offload_layers", layers, "slower steps", "host memory")
    if lora.r > MIN_RANK:
        yield Candidate("lora.r", max(MIN_RANK, lora.r // 2), cost="some capacity of the adapter")
    if model.max_seq_length > MIN_SEQ_LENGTH:
        length = _shorten_enough(profile, fits)
        yield Candidate("model.max_seq_length", length, cost="the end of longer rows, which is cut off")
    if not {*lora.target_modules} <= {*ATTENTION_MODULES}:
        modules = [name for name in lora.target_modules if name in ATTENTION_MODULES] or ATTENTION_MODULES
        yield Candidate("lora.target_modules", modules, cost="some capacity of the adapter")


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
