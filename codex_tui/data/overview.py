"""Computes the figures of a dataset under a profile: rows, lengths, losses to the cut, steps and time.

The functions are pure, and fast enough to run again for every max_seq_length that a person types.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate
from math import ceil

from training.contract.profile import Profile
from training.dataset.lengths import Lengths, Remainder
from training.dataset.passes import PassUse, estimate_pass_use
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
    train_sequences: int  # of the training rows: more than these, if the chat template changes earlier answers
    duplicates: DuplicateCounts
    tokens: TokenPercentiles | None
    truncated: int | None  # rows longer than max_seq_length
    answers: int | None  # that the rows teach, before the cut
    answers_cut: int | None  # answers that lose their end
    answers_lost: int | None  # answers of which nothing is learned, because of the cut
    dropped_rows: int | None  # rows of which nothing is learned, although the chat template accepts them
    learned_tokens: int | None  # per epoch, in the training rows
    train_tokens: int | None  # per epoch: those of the questions and of the answers
    refused: int | None  # rows that the model's chat template refuses
    steps_per_epoch: int
    total_steps: int
    seconds_per_epoch: float | None
    passes: PassUse | None = None  # None if rows are not packed

    @property
    def row_tokens(self) -> float | None:
        """The mean length of what is trained on, after the cut; None if the tokens are not counted."""
        return self.train_tokens / self.train_sequences if self.train_tokens and self.train_sequences else None


def compute_overview(
    scan: Scan, lengths: Lengths | None, profile: Profile, tokens_per_second: float | None = None
) -> Overview:
    """Compute the figures. `lengths` has the lengths of the rows that `scan` kept, or is None if they are not known."""
    kept = scan.kept
    validation = scan.kept_validation
    held = choose_eval_rows(kept, profile, validation)
    outside = range(kept - validation, kept) if validation else held  # the rows that are not trained on
    train, evaluated = kept - len(outside), len(held)
    sequences = train
    tokens = truncated = answers = answers_cut = lost = dropped = learned = spent = refused = passes = None
    if lengths is not None:
        limit = profile.model.max_seq_length
        everything = _apply_limit(lengths, profile)
        evaluated = _apply_limit(lengths.select(held), profile).rows
        rest = _apply_limit(lengths.select(outside), profile)
        train, sequences = everything.rows - rest.rows, everything.sequences - rest.sequences
        learned, spent = everything.learned - rest.learned, everything.tokens - rest.tokens
        truncated = sum(tokens > limit for tokens in lengths.longest)
        answers, answers_cut, lost = len(lengths.starts), everything.answers_cut, everything.answers_lost
        refused = lengths.refused_count
        dropped = kept - everything.rows - refused
        tokens = _compute_percentiles(lengths.token_counts)
        passes = estimate_pass_use(lengths.token_counts, profile)
    steps = count_steps(profile, sequences)
    return Overview(
        rows=scan.rows,
        kept=kept,
        reasons=scan.reasons,
        train_rows=train,
        eval_rows=evaluated,
        train_sequences=sequences,
        duplicates=DuplicateCounts(scan.count(EXACT), scan.count(NEAR), scan.overlap, scan.near_counted),
        tokens=tokens,
        truncated=truncated,
        answers=answers,
        answers_cut=answers_cut,
        answers_lost=lost,
        dropped_rows=dropped,
        learned_tokens=learned,
        train_tokens=spent,
        refused=refused,
        steps_per_epoch=steps.per_epoch,
        total_steps=steps.total,
        seconds_per_epoch=spent / tokens_per_second if spent and tokens_per_second else None,
        passes=passes,
    )


def _apply_limit(lengths: Lengths, profile: Profile) -> Remainder:
    limit = profile.model.max_seq_length
    return lengths.drop(limit) if profile.dataset.long_rows == "drop" else lengths.cut(limit)


def _compute_percentiles(counts: Counter[int]) -> TokenPercentiles | None:
    """Compute the percentiles by nearest rank. Returns None if no row has tokens."""
    ordered = sorted((tokens, rows) for tokens, rows in counts.items() if tokens)
    ends = list(accumulate(rows for _, rows in ordered))
    if not ends:
        return None
    return TokenPercentiles(
        *(ordered[bisect_left(ends, ceil(share * ends[-1] / 100))][0] for share in (50, 90, 95, 99, 100))
    )
