"""What a dataset comes to under a profile: rows, lengths, what the cut costs, steps and time. Pure, and quick enough to
be asked again for every max_seq_length that is typed."""

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
    """Of whole rows, uncut."""

    p50: int
    p90: int
    p95: int
    p99: int
    max: int


@dataclass(frozen=True)
class DuplicateCounts:
    """Later rows that say what an earlier one says; `overlap`: rows held out with a twin among those trained on.
    `near_counted` is False where the dataset is too long to look for more than equal words."""

    exact: int
    near: int
    overlap: int
    near_counted: bool = True


@dataclass(frozen=True)
class Overview:
    """`tokens` and what follows from it are None where nothing has been tokenised; the steps then count rows that the
    cut may still take."""

    rows: int
    kept: int  # that can be learned from
    reasons: dict[str, int]  # bad rows by what is wrong
    train_rows: int  # after the cut, as are eval_rows
    eval_rows: int
    duplicates: DuplicateCounts
    tokens: TokenPercentiles | None
    truncated: int | None  # rows longer than max_seq_length
    answers_lost: int | None  # rows of which the cut leaves nothing to learn; they are dropped
    learned_tokens: int | None  # an epoch, in the rows that are trained on
    train_tokens: int | None  # an epoch, given and learned
    refused: int | None  # rows that the model's chat template refuses
    steps_per_epoch: int
    total_steps: int
    seconds_per_epoch: float | None


def compute_overview(
    scan: Scan, lengths: Lengths | None, profile: Profile, tokens_per_second: float | None = None
) -> Overview:
    """`lengths` are those of the rows that `scan` kept."""
    kept = scan.kept
    held = choose_eval_rows(kept, profile)
    train, evaluated = kept - len(held), len(held)
    tokens = truncated = lost = learned = spent = refused = None
    if lengths is not None:
        limit = profile.model.max_seq_length
        every = _apply_limit(lengths.counts, lengths.starts, (lengths.tokens[row] for row in lengths.unlearned), limit)
        aside = _apply_limit(
            Counter(lengths.tokens[row] for row in held),
            Counter(lengths.start[row] for row in held),
            (lengths.tokens[row] for row in held if lengths.tokens[row] == lengths.start[row]),
            limit,
        )
        train, evaluated = train - (every.dropped - aside.dropped), evaluated - aside.dropped
        learned, spent = every.learned - aside.learned, every.tokens - aside.tokens
        truncated = sum(rows for length, rows in lengths.counts.items() if length > limit)
        refused = lengths.refused_count
        lost = every.dropped - refused
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
    """What is left of rows of so many tokens, of which so many begin to be learned where; `unlearned` are the tokens of
    rows that have no answer at all, cut or not."""
    whole = sum(min(tokens, limit) * rows for tokens, rows in counts.items())
    given = sum(min(start, limit) * rows for start, rows in starts.items())
    lost = sum(rows for start, rows in starts.items() if start >= limit)
    empty = [tokens for tokens in unlearned if tokens < limit]
    return _Cut(lost + len(empty), whole - given, whole - lost * limit - sum(empty))


def _compute_percentiles(counts: Counter[int]) -> TokenPercentiles | None:
    """By nearest rank; None where no row has tokens."""
    ordered = sorted((tokens, rows) for tokens, rows in counts.items() if tokens)
    ends = list(accumulate(rows for _, rows in ordered))
    if not ends:
        return None
    return TokenPercentiles(
        *(ordered[bisect_left(ends, ceil(share * ends[-1] / 100))][0] for share in (50, 90, 95, 99, 100))
    )
