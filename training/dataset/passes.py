"""How the rows of an optimizer step share passes through the model when they are packed."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from training.contract.profile import Profile

MAX_SAMPLED_ROWS = 8192
DRAWN_BATCHES = 200


class PassUse(NamedTuple):
    """`per_step`: the mean number of passes of an optimizer step. `fill`: the mean share of a pass's tokens that rows
    take, where 1 is a pass of `Profile.pass_rows` rows of max_seq_length tokens."""

    per_step: float
    fill: float


def group_rows(lengths: Sequence[int], pass_tokens: int) -> list[list[int]]:
    """Group rows of `lengths` tokens for passes of about `pass_tokens` tokens, in as few as possible: at most so many
    tokens each, or up to `stretch(pass_tokens)` where that saves a pass. Returns the positions in `lengths`. A row
    longer than a pass gets a group of its own."""
    groups = _fit_best(lengths, pass_tokens)
    longer = _fit_best(lengths, stretch(pass_tokens)) if len(groups) > 1 else groups
    return longer if len(longer) < len(groups) else groups


def stretch(pass_tokens: int) -> int:
    """Return the most tokens of a pass that is longer than `pass_tokens` to save another one. So little more is within
    the error of the memory's forecast; without it, a last pass has a few rows and costs as much time as a full one."""
    return pass_tokens + pass_tokens // 20


def _fit_best(lengths: Sequence[int], pass_tokens: int) -> list[list[int]]:
    """Group rows by best fit decreasing."""
    groups: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # the tokens left in each group, and the number of the group; ascending
    for position in sorted(range(len(lengths)), key=lambda position: (-lengths[position], position)):
        needed = lengths[position]
        place = bisect_left(rooms, (needed,))  # of the fullest group that has room
        if place < len(rooms):
            room, group = rooms.pop(place)
        else:
            room, group = pass_tokens, len(groups)
            groups.append([])
        groups[group].append(position)
        insort(rooms, (room - needed, group))
    return groups


def estimate_pass_use(lengths: Counter[int], profile: Profile) -> PassUse | None:
    """Estimate from steps of random rows how full packed passes are. `lengths` counts the rows by their tokens before
    the cut; those without tokens were refused. Returns None if rows are not packed, or if there are none."""
    training, limit = profile.training, profile.model.max_seq_length
    longest = limit if profile.dataset.long_rows == "drop" else max(lengths, default=0)
    lengths = Counter({tokens: rows for tokens, rows in lengths.items() if 0 < tokens <= longest})
    total = lengths.total()
    if training.packing == "off" or not total:
        return None
    rows_per_step = min(total, profile.step_rows)
    steps = max(1, min(total, MAX_SAMPLED_ROWS) // rows_per_step)
    sampler = random.Random(training.seed)
    drawn = sampler.choices([*lengths], [*lengths.values()], k=steps * rows_per_step)
    rows = [min(tokens, limit) for tokens in drawn]
    pass_tokens = profile.pass_rows * limit
    passes = sum(
        len(group_rows(rows[start : start + rows_per_step], pass_tokens))
        for start in range(0, len(rows), rows_per_step)
    )
    return PassUse(passes / steps, sum(rows) / (passes * pass_tokens))


def count_timed_rows(lengths: Sequence[int], size: int, pass_tokens: int | None) -> int:
    """Count the rows whose time tells that of a batch of `size` rows: the whole batch, or as many rows as fill one pass
    of `pass_tokens` tokens. A batch of packed rows may have so many passes that it takes minutes."""
    size = min(size, len(lengths))
    return size if pass_tokens is None else max(1, min(size, int(pass_tokens / fmean(lengths))))


def draw_usual_batches(lengths: Sequence[int], size: int, *, is_padded: bool, number: int) -> list[list[int]]:
    """Draw `number` batches of `size` rows, as training does, that are as long as a batch is on average. `lengths` are
    the tokens of the rows, and the result has positions in it."""
    rng = random.Random(0)  # the same on all ranks
    places, size = range(len(lengths)), min(size, len(lengths))
    return _choose_usual([rng.sample(places, size) for _ in range(DRAWN_BATCHES)], lengths, is_padded)[:number]


def choose_usual_batch(lengths: Sequence[int], size: int, *, is_padded: bool) -> list[int]:
    """Choose the batch of an evaluation, which takes the rows in their order, that is as long as one is on average."""
    places = range(len(lengths))
    return _choose_usual([[*places[start : start + size]] for start in places[::size]], lengths, is_padded)[0]


def _choose_usual(batches: list[list[int]], lengths: Sequence[int], is_padded: bool) -> list[list[int]]:
    """Sort the batches: those of mean length come first."""

    def count_tokens(batch: list[int]) -> int:
        rows = [lengths[place] for place in batch]
        return max(rows) * len(rows) if is_padded else sum(rows)

    mean = fmean(map(count_tokens, batches))
    return sorted(batches, key=lambda batch: abs(count_tokens(batch) - mean))
