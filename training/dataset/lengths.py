"""Holds how many tokens each good row has, and which of them are learned.

These places tell what the cut leaves for every max_seq_length, without tokenising again.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import msgspec

from training.contract.dataset_table import Dataset
from training.dataset import kept
from training.dataset.shapes import Columns
from training.dataset.template_faults import TemplateFaults

VERSION = 2
MAX_REASONS = 1000  # refused rows whose reasons are kept
NEVER = 2**32 - 1  # in place of a position

Span = tuple[int, int]
"""The first place of a part, and the place after its last one: of tokens, or of the characters of a text."""


def _numbers() -> array[int]:
    return array("I")


@dataclass
class Lengths:
    """The good rows, in order. A row has one sequence of tokens, or several where the chat template changes earlier
    answers; a sequence has a span of learned tokens for each answer that it teaches. All are before the cut.

    `refused` maps the positions of good rows that the chat template refuses to the reasons; they have no sequence.
    `system_ignored` means that the template silently leaves out system messages.
    """

    sequences: array[int] = field(default_factory=_numbers)  # of each row
    tokens: array[int] = field(default_factory=_numbers)  # of each sequence
    answers: array[int] = field(default_factory=_numbers)  # of each sequence
    starts: array[int] = field(default_factory=_numbers)  # of each answer
    ends: array[int] = field(default_factory=_numbers)  # of each answer
    refused: dict[int, str] = field(default_factory=dict)
    refused_count: int = 0
    system_ignored: bool = False
    faults: TemplateFaults = field(default_factory=TemplateFaults)

    @property
    def rows(self) -> int:
        return len(self.sequences)

    def add(self, sequences: Iterable[tuple[int, Sequence[Span]]]) -> None:
        """Add a row: the number of tokens and the learned spans of each of its sequences."""
        before = len(self.tokens)
        for tokens, spans in sequences:
            self.tokens.append(tokens)
            self.answers.append(len(spans))
            self.starts.extend(start for start, _ in spans)
            self.ends.extend(end for _, end in spans)
        self.sequences.append(len(self.tokens) - before)

    def refuse(self, reason: str) -> None:
        if len(self.refused) < MAX_REASONS:
            self.refused[self.rows] = reason
        self.refused_count += 1
        self.add(())

    def list_sequences(self, row: int) -> list[tuple[int, list[Span]]]:
        """List the sequences of a row, as they were added. Like all methods below, only for use when all rows are
        added."""
        sequences = []
        for sequence in range(self._sequence_ends[row] - self.sequences[row], self._sequence_ends[row]):
            first, last = self._answer_ends[sequence] - self.answers[sequence], self._answer_ends[sequence]
            spans = zip(self.starts[first:last], self.ends[first:last], strict=True)
            sequences.append((self.tokens[sequence], list(spans)))
        return sequences

    def select(self, rows: Iterable[int]) -> Lengths:
        """Return the lengths of some rows alone."""
        selected = Lengths()
        for row in rows:
            selected.add(self.list_sequences(row))
        return selected

    def learned(self, row: int, max_seq_length: int, drops_long: bool = False) -> int:
        """Count the row's learned tokens that remain if longer sequences are cut, or left out (`drops_long`)."""
        return sum(
            max(0, min(end, max_seq_length) - start)
            for tokens, spans in self.list_sequences(row)
            if not drops_long or tokens <= max_seq_length
            for start, end in spans
        )

    def cut(self, max_seq_length: int) -> Remainder:
        """Compute what remains if each sequence is cut at `max_seq_length`."""
        limit = max_seq_length
        whole = sum(min(tokens, limit) * count for tokens, count in self.token_counts.items())
        lost = sum(count for start, count in self._first_counts.items() if limit <= start < NEVER)
        empty = sum(min(self.tokens[sequence], limit) for sequence in self._empty)
        answers_lost = sum(count for start, count in self._start_counts.items() if start >= limit)
        return Remainder(
            rows=self.rows - sum(count for start, count in self._row_counts.items() if start >= limit),
            sequences=len(self.tokens) - lost - self._first_counts[NEVER],
            tokens=whole - lost * limit - empty,
            learned=sum(min(end, limit) * count for end, count in self._end_counts.items())
            - sum(min(start, limit) * count for start, count in self._start_counts.items()),
            answers_cut=sum(count for end, count in self._end_counts.items() if end > limit) - answers_lost,
            answers_lost=answers_lost,
        )

    def drop(self, max_seq_length: int) -> Remainder:
        """Compute what remains if each sequence longer than `max_seq_length` is left out."""
        short = [(tokens, total) for tokens, total in self._totals.items() if tokens <= max_seq_length]
        answers = sum(total.answers for _, total in short)
        return Remainder(
            rows=sum(total.rows for _, total in short),
            sequences=sum(total.sequences for _, total in short),
            tokens=sum(tokens * total.sequences for tokens, total in short),
            learned=sum(total.learned for _, total in short),
            answers_cut=0,
            answers_lost=len(self.starts) - answers,
        )

    @property
    def empty_rows(self) -> int:
        """The number of rows in which the chat template leaves no answer."""
        return self._row_counts[NEVER] - self.refused_count

    @cached_property
    def longest(self) -> array[int]:
        """The tokens of each row's longest sequence; 0 for a refused row."""
        if self._is_plain:
            return self.tokens
        return array(
            "I",
            (
                max(self.tokens[end - count : end], default=0)
                for end, count in zip(self._sequence_ends, self.sequences, strict=True)
            ),
        )

    @cached_property
    def token_counts(self) -> Counter[int]:
        """The number of sequences by their number of tokens."""
        return Counter(self.tokens)

    @cached_property
    def ordered(self) -> array[int]:
        """The numbers of tokens of all sequences, ascending."""
        ordered = array("I")
        for tokens, count in sorted(self.token_counts.items()):
            ordered.extend(array("I", [tokens]) * count)
        return ordered

    @cached_property
    def _is_plain(self) -> bool:
        """Whether every row has one sequence."""
        return len(self.tokens) == self.rows and 0 not in self.sequences

    @cached_property
    def _sequence_ends(self) -> array[int]:
        return array("I", accumulate(self.sequences))

    @cached_property
    def _answer_ends(self) -> array[int]:
        return array("I", accumulate(self.answers))

    @cached_property
    def _firsts(self) -> array[int]:
        """The place of each sequence's first learned token; NEVER if it teaches nothing."""
        return array(
            "I",
            (
                self.starts[end - count] if count else NEVER
                for end, count in zip(self._answer_ends, self.answers, strict=True)
            ),
        )

    @cached_property
    def _empty(self) -> list[int]:
        """The sequences that teach nothing."""
        return [sequence for sequence, answers in enumerate(self.answers) if not answers]

    @cached_property
    def _first_counts(self) -> Counter[int]:
        return Counter(self._firsts)

    @cached_property
    def _row_counts(self) -> Counter[int]:
        """The number of rows by the first place where any of their sequences teaches something."""
        if self._is_plain:
            return self._first_counts
        ends = zip(self._sequence_ends, self.sequences, strict=True)
        return Counter(min(self._firsts[end - count : end], default=NEVER) for end, count in ends)

    @cached_property
    def _totals(self) -> dict[int, _Total]:
        """What the sequences of each length teach."""
        totals: defaultdict[int, _Total] = defaultdict(_Total)
        sequence = answer = 0
        for count in self.sequences:
            shortest = NEVER
            for tokens, answers in zip(
                self.tokens[sequence : sequence + count], self.answers[sequence : sequence + count], strict=True
            ):
                if answers:
                    shortest = min(shortest, tokens)
                    total, end = totals[tokens], answer + answers
                    total.sequences += 1
                    total.answers += answers
                    total.learned += sum(self.ends[answer:end]) - sum(self.starts[answer:end])
                    answer = end
            sequence += count
            totals[shortest].rows += 1
        return totals

    @cached_property
    def _start_counts(self) -> Counter[int]:
        return Counter(self.starts)

    @cached_property
    def _end_counts(self) -> Counter[int]:
        return Counter(self.ends)


@dataclass(slots=True)
class _Total:
    """What the sequences of one length teach. `rows` have their shortest sequence among them."""

    sequences: int = 0
    answers: int = 0
    learned: int = 0
    rows: int = 0


@dataclass(frozen=True)
class Remainder:
    """What remains of some rows under a max_seq_length."""

    rows: int  # that still teach something
    sequences: int  # that still teach something
    tokens: int  # of these sequences
    learned: int
    answers_cut: int  # their end is cut off
    answers_lost: int  # no token of them remains


class _Cached(msgspec.Struct):
    version: int
    sequences: bytes
    tokens: bytes
    answers: bytes
    starts: bytes
    ends: bytes
    refused: dict[int, str]
    refused_count: int
    system_ignored: bool
    faults: TemplateFaults


_ARRAYS = ("sequences", "tokens", "answers", "starts", "ends")


def cache_path(cache: Path, fingerprint: str, tokenizer: str, dataset: Dataset) -> Path:
    """Return the path in the cache. `fingerprint` is the dataset's checksum, and `tokenizer` that of the tokenizer."""
    columns = Columns.from_dataset(dataset).key()
    return kept.cache_path(
        cache, "lengths", VERSION, fingerprint, columns, tokenizer, dataset.system_prompt, dataset.learn
    )


def save(path: Path, lengths: Lengths) -> None:
    """Write the lengths to the cache. Raises OSError."""
    values = {name: getattr(lengths, name) for name in Lengths.__dataclass_fields__}
    values |= {name: values[name].tobytes() for name in _ARRAYS}
    kept.save(path, _Cached(VERSION, **values))


def load(path: Path, rows: int | None = None) -> Lengths | None:
    """Load the lengths; None if they are missing, damaged, or not those of `rows` good rows."""
    cached = kept.load(path, _Cached)
    if cached is None or cached.version != VERSION:
        return None
    values = {name: getattr(cached, name) for name in Lengths.__dataclass_fields__}
    try:
        lengths = Lengths(**values | {name: array("I", values[name]) for name in _ARRAYS})
    except ValueError:  # the last number is incomplete
        return None
    sizes = (sum(lengths.sequences), sum(lengths.answers), len(lengths.ends))
    if sizes != (len(lengths.tokens), len(lengths.starts), len(lengths.starts)) or len(lengths.answers) != sizes[0]:
        return None
    return lengths if rows is None or lengths.rows == rows else None
