"""Chooses the smallest changes with which a run that found no GPU memory continues and learns the same.

The rows of a step, their order, the sequence length and the adapter stay as they are, so that only sums may be rounded
otherwise. The optimizer stays too: a checkpoint holds its state in one form, and state that was loaded is not paged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from training.contract.events import OutOfMemory
from training.contract.measurements import Probe
from training.contract.profile import Profile, find_conflicts
from training.memory import pass_size, remedies
from training.memory.forecast import STREAMED_LAYERS, TIGHT_SHARE, Machine, forecast, shorten_rows
from training.memory.model_shape import ModelShape
from training.memory.remedies import LOSS_TILES, MIN_FREED_MIB
from training.memory.speed import estimate_slowdown

Changes = dict[str, Any]  # new values, by the field's dotted name

GOALS = (TIGHT_SHARE, 1.0, 1 / TIGHT_SHARE)
"""The shares of the limit that the healed run may be forecast to need. The first that can be reached counts. Forecasts
are right within 5 %, so a run that is forecast to need a little too much is still worth an attempt."""
LEARNING_FIELDS = ("training.optim", "lora.r", "lora.target_modules", "model.max_seq_length")
"""Changes of these fields change what the run learns, so only a person makes them."""


@dataclass(frozen=True)
class Healing:
    """New values of the profile, and how much less memory the run is forecast to need with them."""

    changes: Changes
    frees_mib: float


@dataclass(frozen=True)
class Shortage:
    """A run that found no memory: its profile with a number of offloaded layers, the shape of its model, what the
    trainer reported of the failure, and the measurement of the probe before it, if there was one."""

    profile: Profile
    shape: ModelShape
    failure: OutOfMemory
    probe: Probe | None = None

    @property
    def machine(self) -> Machine:
        failure = self.failure
        reserve = self.profile.hardware.display_reserve_mib
        card_mib = None if failure.limit_mib is None else failure.limit_mib + reserve
        return Machine(card_mib, failure.context_mib, failure.expandable_segments, card=failure.card)

    @cached_property
    def correction_mib(self) -> float:
        """By how much the run needs more memory than it is forecast to need, as far as that is known."""
        failure, profile = self.failure, self.profile
        correction = 0.0
        if self.probe and self.probe.peak_reserved_mib:
            tokens = self.probe.tokens * profile.pass_rows
            needed = self.probe.peak_reserved_mib + failure.context_mib
            correction = needed - self._forecast(profile, tokens, self.probe.tokens, self.probe.eval_tokens)
        needed = failure.limit_mib or 0.0  # at least, because the pass did not fit
        if failure.allocated_mib:
            needed = max(needed, failure.allocated_mib + failure.requested_mib + failure.context_mib)
        return max(correction, needed - self._forecast(profile, failure.tokens, failure.row_tokens))

    @cached_property
    def needed_mib(self) -> float:
        return self.forecast_mib(self.profile)

    def forecast_mib(self, profile: Profile) -> float:
        """Forecast the memory that the largest pass of the run needs with `profile`."""
        return self.correction_mib + self._forecast(profile, self.failure.largest_tokens, self.failure.longest_tokens)

    def _forecast(self, profile: Profile, tokens: int, longest: int, eval_tokens: int = 0) -> float:
        """Forecast for passes of at most `tokens` tokens, in rows of at most `longest`; 0 for as many as possible. An
        evaluation has passes of `eval_tokens`; 0 for as many such rows as the profile says."""
        limit, rows = profile.model.max_seq_length, profile.pass_rows
        length = min(limit, longest or limit)
        if profile.training.packing != "off" and tokens:  # a pass has other rows beside the longest one
            length = min(limit, max(length, math.ceil(tokens / rows)))
        return forecast(shorten_rows(profile, length, eval_tokens), self.shape, self.machine).device_mib


def find_healing(shortage: Shortage, freed_before: float = 0.0) -> Healing | None:
    """Find the changes that are enough and slow the run least. They free more than `freed_before`, which the heal
    before has freed in vain, or else all that is left to free. None if no changes are enough."""
    failure = shortage.failure
    goals = [math.inf]
    if failure.limit_mib is not None:
        # A base that does not fit is worth minutes of loading only where it is forecast to fit.
        shares = GOALS[:2] if failure.task == "loading" else GOALS
        goals = [share * failure.limit_mib for share in shares]
    least = max(MIN_FREED_MIB, freed_before + 1, failure.requested_mib if failure.limit_mib is None else 0.0)
    for goal in goals:
        if healing := _find(shortage, min(goal, shortage.needed_mib - least)):
            return healing
    return _take_all(shortage, goals[-1]) if freed_before else None


def list_learning_remedies(shortage: Shortage) -> list[remedies.Remedy]:
    """List the remedies of the forecast that change what the run learns."""
    found = remedies.remedies(shortage.profile, shortage.shape, shortage.machine)
    return [remedy for remedy in found if remedy.field in LEARNING_FIELDS]


def _find(shortage: Shortage, goal_mib: float) -> Healing | None:
    """Find the fastest changes with which the run needs at most `goal_mib`: those of one kind, or else of several."""
    profile, changes = shortage.profile, Changes()
    while kinds := list(_list_kinds(profile, shortage)):
        enough: list[Changes] = []
        for kind in kinds:
            enough += [one for one in kind if shortage.forecast_mib(apply(profile, one)) <= goal_mib][:1]
        if enough:
            fastest: Changes = min(enough, key=lambda one: _estimate_slowdown(shortage, profile, one))
            changes = _drop_needless(shortage, changes | fastest, goal_mib)
            needed = shortage.forecast_mib(apply(shortage.profile, changes))
            return Healing(changes, round(shortage.needed_mib - needed, 1))
        # Take the whole of one kind, and see what the others must add.
        before = shortage.forecast_mib(profile)
        strongest = [kind[-1] for kind in kinds]
        helpful = [one for one in strongest if before - shortage.forecast_mib(apply(profile, one)) >= MIN_FREED_MIB]
        if not helpful:
            return None
        step = min(helpful, key=lambda one: _estimate_slowdown(shortage, profile, one))
        profile, changes = apply(profile, step), changes | step
    return None


def _take_all(shortage: Shortage, goal_mib: float) -> Healing | None:
    """Take all changes that are left, if they are enough together."""
    profile, changes = shortage.profile, Changes()
    while kinds := list(_list_kinds(profile, shortage)):
        changes |= kinds[0][-1]
        profile = apply(shortage.profile, changes)
    frees = round(shortage.needed_mib - shortage.forecast_mib(profile), 1)
    return Healing(changes, frees) if frees >= MIN_FREED_MIB and shortage.needed_mib - frees <= goal_mib else None


def _drop_needless(shortage: Shortage, changes: Changes, goal_mib: float) -> Changes:
    """Leave out each change without which the others are enough."""
    for field in list(changes):
        left_out = pass_size.FIELDS if field in pass_size.FIELDS else (field,)  # they change together
        fewer = {name: value for name, value in changes.items() if name not in left_out}
        changed = apply(shortage.profile, fewer)
        if fewer and not any(find_conflicts(changed)) and shortage.forecast_mib(changed) <= goal_mib:
            changes = fewer
    return changes


def apply(profile: Profile, changes: Changes) -> Profile:
    """Return `profile` with other values. They are not validated."""
    for field, value in changes.items():
        profile = profile.with_value(field, value)
    return profile


def _list_kinds(profile: Profile, shortage: Shortage) -> Iterator[list[Changes]]:
    """Yield the changes of each kind, the mildest first. The kinds are in the order of their usual cost."""
    training, model, shape = profile.training, profile.model, shortage.shape
    rows, eval_rows = profile.pass_rows, profile.evaluation.per_device_eval_batch_size
    least = 1 if training.packing == "off" else rows  # packed, an evaluation has passes as large as those of training
    if eval_rows > least and (eval_rows > rows or shortage.failure.task == "evaluating"):
        yield [{"evaluation.per_device_eval_batch_size": max(least, count)} for count in _halve(eval_rows)]
    if training.gradient_checkpointing != "unsloth":
        yield [{"training.gradient_checkpointing": "unsloth"}]
    can_offload = profile.ranks == 1  # several processes keep the whole model on their cards
    can_move = can_offload and not shape.tie_word_embeddings and not profile.lora.modules_to_save
    if can_move and not model.offload_embedding:
        yield [{"model.offload_embedding": True}]
    if tiles := [{"training.loss_tile_mib": tile} for tile in LOSS_TILES if tile < training.loss_tile_mib]:
        yield tiles
    if fewer := [count for count in _halve(rows) if profile.step_rows % count == 0]:
        yield [_describe_passes(profile, count) for count in fewer]
    first = max(STREAMED_LAYERS, int(model.offload_layers)) + 1
    if can_offload and training.gradient_checkpointing and (counts := range(first, shape.num_hidden_layers)):
        yield [{"model.offload_layers": count} for count in counts]


def _describe_passes(profile: Profile, rows: int) -> Changes:
    """The changes with which a step has its rows in passes of `rows` rows."""
    changed = pass_size.set_pass_rows(profile, rows)
    if profile.training.packing == "off":
        changed = changed.with_value(pass_size.PACKING, "off")
    return find_changes(profile, changed, pass_size.FIELDS)


def find_changes(before: Profile, after: Profile, fields: Iterable[str]) -> Changes:
    """Find which of `fields` differ, and return their values in `after`."""
    pairs = {field: (before.get_value(field), after.get_value(field)) for field in fields}
    return {field: value for field, (old, value) in pairs.items() if value != old}


def _halve(count: int) -> Iterator[int]:
    while count > 1:
        count //= 2
        yield count


def _estimate_slowdown(shortage: Shortage, profile: Profile, changes: Changes) -> float:
    """The share by which the run takes longer at most. It is 0 if the rates of the card are not known, so that the
    order of the kinds decides."""
    row_tokens = shortage.failure.longest_tokens or profile.model.max_seq_length
    longer = estimate_slowdown(profile, apply(profile, changes), shortage.shape, shortage.failure.card, row_tokens)
    return longer[1] if longer else 0.0
