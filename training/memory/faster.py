"""Finds out whether the rows of a step would train faster in fewer and larger passes that still fit into the card.

A pass takes the time of its arithmetic, or that of the CPU to launch its kernels, and a fast card waits for the CPU.
Then a pass of four rows takes hardly longer than a pass of one. A step with the same rows in larger passes has the same
token-weighted gradient, so the run learns the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile

from training.contract.profile import Profile
from training.contract.training_tables import MAX_BATCH
from training.memory.forecast import Machine, forecast
from training.memory.model_shape import ModelShape
from training.memory.speed import estimate_slowdown, find_rates, packs_rows

MIN_SAVED = 0.10  # of the time: less is not worth a suggestion
MIN_SAVED_MORE = 0.05  # a still larger batch must save this much more time, because it needs more memory
BATCH = "training.per_device_train_batch_size"
ACCUMULATION = "training.gradient_accumulation_steps"


@dataclass(frozen=True)
class Faster:
    """The same rows a step in larger passes: set both fields of `changes`. The run needs `needs_mib` more, and fits.

    `saved` has the lowest and the highest probable share of the time that rows of about `row_tokens` tokens take less.
    """

    batch: int
    accumulation: int
    needs_mib: float
    saved: tuple[float, float]
    row_tokens: int

    @property
    def changes(self) -> dict[str, int]:
        return {BATCH: self.batch, ACCUMULATION: self.accumulation}

    @property
    def time(self) -> str:
        """As "40 to 70 % less time"."""
        low, high = (round(100 * share) for share in self.saved)
        return f"about {high} % less time" if high - low <= 2 else f"{low} to {high} % less time"


def find_faster(
    profile: Profile, shape: ModelShape, machine: Machine, row_tokens: float | None = None
) -> Faster | None:
    """Find the smallest batch that saves nearly all of the time that can be saved. `row_tokens` is the mean length of
    the rows; by default all are as long as max_seq_length allows.

    Returns None if no larger batch that fits is surely faster, if the speed of the card is not known, if the run does
    not fit well now, or if layers wait in host memory.
    """
    now = forecast(profile, shape, machine)
    if now.verdict != "fits" or now.offload_layers or find_rates(machine.card) is None:
        return None
    profile = profile.with_value("model.offload_layers", 0)  # with "auto", a larger batch could offload layers
    machine = replace(machine, measured=None)  # a measurement holds only for the profile as it is
    excess = max(0.0, now.device_mib - forecast(profile, shape, machine).device_mib)  # above the forecast without it
    length = profile.model.max_seq_length
    row_tokens = min(length, row_tokens or length)

    def fits(candidate: Profile) -> bool:
        memory = forecast(candidate, shape, machine)
        return replace(memory, device_mib=memory.device_mib + excess).verdict == "fits"

    def estimate_saved(before: Profile, after: Profile) -> tuple[float, float]:
        return _estimate_saved(before, after, shape, machine.card, row_tokens)

    larger = [*takewhile(fits, _list_larger_batches(profile))]
    worth = [each for each in larger if estimate_saved(profile, each)[0] >= MIN_SAVED]
    best = next((each for each in worth if all(estimate_saved(each, it)[0] < MIN_SAVED_MORE for it in worth)), None)
    if best is None:
        return None
    needs = forecast(best, shape, machine).device_mib - forecast(profile, shape, machine).device_mib
    batch, steps = best.training.per_device_train_batch_size, best.training.gradient_accumulation_steps
    return Faster(batch, steps, round(needs), estimate_saved(profile, best), round(row_tokens))


def _list_larger_batches(profile: Profile) -> Iterator[Profile]:
    """Yield the profiles that have the same rows a step in larger batches, the smallest first."""
    batch, steps = profile.training.per_device_train_batch_size, profile.process_accumulation_steps
    divided = profile.ranks if profile.launch.keep_batch else 1  # among so many processes
    rows = batch * steps
    for larger in range(batch + 1, min(rows, MAX_BATCH) + 1):
        if rows % larger == 0:
            yield profile.with_value(BATCH, larger).with_value(ACCUMULATION, rows // larger * divided)


def _estimate_saved(
    before: Profile, after: Profile, shape: ModelShape, card: str, row_tokens: float
) -> tuple[float, float]:
    """Estimate the lowest and the highest probable share of the time that the same rows take less with `after`."""
    # A padded row takes the time of the longest one in its batch, which may have max_seq_length tokens.
    lengths = {row_tokens} if packs_rows(before, shape) else {row_tokens, before.model.max_seq_length}
    shares = [estimate_slowdown(before, after, shape, card, tokens) or (0.0, 0.0) for tokens in lengths]
    return -max(high for _, high in shares), -min(low for low, _ in shares)
