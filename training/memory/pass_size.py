"""Chooses how many rows of an optimizer step share a pass through the model, for training.packing = "auto".

A pass takes the time of its arithmetic, or that of the CPU to launch its kernels, and a fast card waits for the CPU.
Then a pass of four rows takes hardly longer than a pass of one. A step with the same rows in larger passes has the same
token-weighted gradient, so the run learns the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import takewhile

from training.contract.profile import Profile
from training.contract.training_tables import MAX_BATCH
from training.memory.forecast import Machine, Measured, forecast
from training.memory.model_shape import ModelShape
from training.memory.speed import estimate_slowdown, find_rates, packs_rows

MIN_SAVED = 0.10  # of the time: less is not worth the memory
MIN_SAVED_MORE = 0.05  # a still larger pass must save this much more time, because it needs more memory
USABLE_SHARE = 0.9  # of the limit: a larger pass that was not measured must leave more than the forecast's error
BATCH = "training.per_device_train_batch_size"
ACCUMULATION = "training.gradient_accumulation_steps"
PACKING = "training.packing"
FIELDS = (BATCH, ACCUMULATION, PACKING)

FindMeasured = Callable[[Profile], Measured | None]


@dataclass(frozen=True)
class LargerPasses:
    """Passes of `rows` rows of max_seq_length tokens, where the profile has `instead_of`. They need `needs_mib` more.

    `saved` has the lowest and the highest probable share of the time that rows of that length take less.
    """

    rows: int
    instead_of: int
    needs_mib: float
    saved: tuple[float, float]

    @property
    def time(self) -> str:
        """As "40 to 70 % less time"."""
        low, high = (round(100 * share) for share in self.saved)
        return f"about {high} % less time" if high - low <= 2 else f"{low} to {high} % less time"


def resolve_passes(
    profile: Profile, shape: ModelShape, machine: Machine, find_measured: FindMeasured = lambda _: None
) -> Profile:
    """Return `profile` with "pack" in place of packing = "auto", and with as many rows in a pass as are surely faster
    and fit well. A step keeps its rows. Passes of other profiles stay as they are.

    `find_measured` returns what a probe has measured for a profile on this card.
    """
    if not packs_rows(profile, shape):  # a model whose rows are padded has batches of its own size
        return profile.with_value(PACKING, "off" if profile.training.packing == "off" else "pack")
    if profile.training.packing != "auto":
        return profile
    machine = replace(machine, measured=find_measured(profile))
    rows = _find_best_rows(profile, shape, machine, find_measured)
    return set_pass_rows(profile, rows) if rows else profile.with_value(PACKING, "pack")


def set_pass_rows(profile: Profile, rows: int) -> Profile:
    """Return `profile` with the same rows a step, in passes of `rows` rows of max_seq_length tokens."""
    divided = profile.ranks if profile.launch.keep_batch else 1  # among so many processes
    steps = profile.step_rows // rows * divided
    return profile.with_value(BATCH, rows).with_value(ACCUMULATION, steps).with_value(PACKING, "pack")


def compare_passes(profile: Profile, resolved: Profile, shape: ModelShape, machine: Machine) -> LargerPasses | None:
    """Compare the passes that `resolve_passes` has chosen with those of `profile`. Returns None if none are larger."""
    if resolved.pass_rows <= profile.pass_rows:
        return None
    machine = replace(machine, measured=None)
    before, after = (forecast(each, shape, machine).device_mib for each in (profile, resolved))
    saved = estimate_saved(profile, resolved, shape, machine.card)
    return LargerPasses(resolved.pass_rows, profile.pass_rows, round(after - before), saved)


def estimate_saved(before: Profile, after: Profile, shape: ModelShape, card: str) -> tuple[float, float]:
    """Estimate the lowest and the highest probable share of the time that the same rows take less with `after`, if all
    are as long as max_seq_length allows. Both are 0 if the rates of `card` are not known."""
    before, after = (each.with_value("model.offload_layers", 0) for each in (before, after))  # else no pass is larger
    slowdown = estimate_slowdown(before, after, shape, card, before.model.max_seq_length)
    return (-slowdown[1], -slowdown[0]) if slowdown else (0.0, 0.0)


def _find_best_rows(profile: Profile, shape: ModelShape, machine: Machine, find_measured: FindMeasured) -> int | None:
    """Find the smallest number of rows in a pass that saves nearly all of the time that can be saved.

    Returns None if no larger pass that fits is surely faster, if the speed of the card is not known, if the run does
    not fit well now, or if layers wait in host memory.
    """
    now = forecast(profile, shape, machine)
    if now.verdict != "fits" or now.limit_mib is None or now.offload_layers or find_rates(machine.card) is None:
        return None
    limit = now.limit_mib
    # Larger passes are expected to need as much more than their forecast as these passes were measured to need.
    unmeasured = forecast(profile, shape, replace(machine, measured=None))
    excess = max(0.0, now.device_mib - unmeasured.device_mib)

    def fits(candidate: Profile) -> bool:
        measured = find_measured(candidate)
        candidate = candidate.with_value("model.offload_layers", 0)  # with "auto", a larger pass could offload layers
        memory = forecast(candidate, shape, replace(machine, measured=measured))
        return memory.verdict == "fits" if measured else memory.device_mib + excess <= USABLE_SHARE * limit

    def saves(after: Profile, before: Profile = profile) -> float:
        return estimate_saved(before, after, shape, machine.card)[0]

    larger = [*takewhile(fits, _list_larger(profile))]
    best = next((each for each in larger if all(saves(it, before=each) < MIN_SAVED_MORE for it in larger)), None)
    return best.pass_rows if best and saves(best) >= MIN_SAVED else None


def _list_larger(profile: Profile) -> Iterator[Profile]:
    """Yield the profiles that have the same rows a step in larger passes, the smallest first."""
    rows = profile.step_rows
    for larger in range(profile.pass_rows + 1, min(rows, MAX_BATCH) + 1):
        if rows % larger == 0:
            yield set_pass_rows(profile, larger)
