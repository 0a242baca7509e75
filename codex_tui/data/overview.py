"""Computes the figures of a dataset under a profile: rows, lengths, losses to the cut, steps and time.

The functions are pure, and fast enough to run again for every max_seq_length that a person types.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from math import ceil

from training.contract.profile import Profile
from training.dataset.lengths import Lengths
from training.dataset.scan import EXACT, NEAR, Scan
from training.dataset.split import choose_eval_rows, count_steps


@dataclass(frozen=True)
class TokenPercentiles:
    """Percentiles of the row lengths before the cut, in tokens."""

    p50: int
    p90: int
    p95: int
    p99: int
    max: int


@dataclass(frozen=True)
class DuplicateCounts:
    """The numbers of rows that repeat an earlier row, exactly or nearly. `overlap` counts the evaluation rows that also
    occur in training. `near_counted` is False if the dataset is so large that `near` counts only equal words."""

    exact: int
    near: int
    overlap: int
    near_counted: bool = True


@dataclass(frozen=True)
class Overview:
    """The figures of a dataset. Those that need tokens are None until the tokens are counted. Until then the steps also
    count rows that may be dropped because the cut leaves nothing of their answer."""

    rows: int
    kept: int  # rows that can be used for training
    reasons: dict[str, int]  # the number of bad rows by their problem
    train_rows: int  # after the cut
    eval_rows: int  # after the cut
    duplicates: DuplicateCounts
    tokens: TokenPercentiles | None
    truncated: int | None  # rows longer than max_seq_length
    answers_lost: int | None  # rows whose whole answer the cut removes; they are dropped
    learned_tokens: int | None  # per epoch, in the training rows
    train_tokens: int | None  # per epoch: those of the questions and of the answers
    refused: int | None  # rows that the model's chat template refuses
    steps_per_epoch: int
    total_steps: int
    seconds_per_epoch: float | None


def compute_overview(
    scan: Scan, lengths: Lengths | None, profile: Profile, tokens_per_second: float | None = None
) -> Overview:
    """Compute the figures. `lengths` has the lengths of the rows that `scan` kept, or is None if they are not known."""
    kept = scan.kept
    held = choose_eval_rows(kept, profile)
    train, evaluated = kept - len(held), len(held)
    tokens = truncated = lost = learned = spent = refused = None
    if lengths is not None:
        limit = profile.model.max_seq_length
        all_rows = _apply_limit(
            lengths.counts, lengths.starts, (lengths.tokens[row] for row in lengths.unlearned), limit
        )
        eval_part = _apply_limit(
            Counter(lengths.tokens[row] for row in held),
            Counter(lengths.start[row] for row in held),
            (lengths.tokens[row] for row in held if lengths.tokens[row] == lengths.start[row]),
            limit,
        )
        train, evaluated = train - (all_rows.dropped - eval_part.dropped), evaluated - eval_part.dropped
        learned, spent = all_rows.learned - eval_part.learned, all_rows.tokens - eval_part.tokens
        truncated = sum(rows for length, rows in lengths.counts.items() if length > limit)
        refused = lengths.refused_count
        lost = all_rows.dropped - refused
        tokens = _compute_percentiles(lengths.counts)
    steps = count_steps(profile, train)
    return Overview(
        rows=scan.rows,
        kept=kept,
        reasons=scan.reasons,
        train_rows=train,
        eval_rows=evaluated,
        duplicates=DuplicateCounts(scan.count(EXACT), scan.count(NEAR), scan.overlap, scan.near_counted),
        tokens=tokens,
        truncated=truncated,
        answers_lost=lost,
        learned_tokens=learned,
        train_tokens=spent,
        refused=refused,
        steps_per_epoch=steps.per_epoch,
        total_steps=steps.total,
        seconds_per_epoch=spent / tokens_per_second if spent and tokens_per_second else None,
    )


@dataclass(frozen=True)
class _Cut:
    dropped: int
    learned: int
    tokens: int


def _apply_limit(counts: Counter[int], starts: Counter[int], unlearned: Iterable[int], limit: int) -> _Cut:
    """Compute what the cut at `limit` tokens leaves of some rows.

    `counts` has the number of rows by length, `starts` the number of rows by the position where the answer starts,
    `unlearned` the lengths of the rows that have no answer even without the cut.
    """
    whole = sum(min(tokens, limit) * rows for tokens, rows in counts.items())
    given = sum(min(start, limit) * rows for start, rows in starts.items())
    lost = sum(rows for start, rows in starts.items() if start >= limit)
    empty = [tokens for tokens in unlearned if tokens < limit]
    return _Cut(lost + len(empty), whole - given, whole - lost * limit - sum(empty))


def _compute_percentiles(counts: Counter[int]) -> TokenPercentiles | None:
    """Compute the percentiles by nearest rank. Returns None if no row has tokens."""
    ordered = sorted((tokens, rows) for tokens, rows in counts.items() if tokens)
    ends = list(accumulate(rows for _, rows in ordered))
    if not ends:
        return None
    return TokenPercentiles(
        *(ordered[bisect_left(ends, ceil(share * ends[-1] / 100))][0] for share in (50, 90, 95, 99, 100))
    )
