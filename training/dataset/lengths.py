"""Holds how many tokens each good row has, and where its answer begins.

The learned part is always the end of a row. So these two numbers tell what remains after the cut for every
max_seq_length, without tokenising again.
"""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import msgspec

from training.dataset import kept
from training.dataset.shapes import Columns

VERSION = 1
MAX_REASONS = 1000  # refused rows whose reasons are kept


@dataclass
class Lengths:
    """For each good row, in order: the number of tokens before the cut, and the position of the first learned one. The
    two are equal if nothing is learned.

    `refused` maps the positions of good rows that the chat template refuses to the reasons; they have 0 tokens.
    `system_ignored` means that the template silently leaves out system messages.
    """

    tokens: array[int] = field(default_factory=lambda: array("I"))
    start: array[int] = field(default_factory=lambda: array("I"))
    refused: dict[int, str] = field(default_factory=dict)
    refused_count: int = 0
    system_ignored: bool = False

    def add(self, tokens: int, start: int) -> None:
        self.tokens.append(tokens)
        self.start.append(start)

    def refuse(self, reason: str) -> None:
        if len(self.refused) < MAX_REASONS:
            self.refused[len(self.tokens)] = reason
        self.refused_count += 1
        self.add(0, 0)

    @cached_property
    def counts(self) -> Counter[int]:
        """Number of rows by their number of tokens. Use it only when all rows are added."""
        return Counter(self.tokens)

    @cached_property
    def starts(self) -> Counter[int]:
        """Number of rows by the position of their first learned token. Use it only when all rows are added."""
        return Counter(self.start)

    @cached_property
    def unlearned(self) -> array[int]:
        """The rows with nothing to learn, even before the cut. Use it only when all rows are added."""
        return array("I", (row for row, (tokens, start) in enumerate(zip(self.tokens, self.start, strict=True))
                           if tokens == start))  # fmt: skip

    @cached_property
    def ordered(self) -> array[int]:
        """The numbers of tokens of all rows, ascending."""
        ordered = array("I")
        for tokens, rows in sorted(self.counts.items()):
            ordered.extend(array("I", [tokens]) * rows)
        return ordered

    def learned(self, position: int, max_seq_length: int) -> int:
        """Count the answer's tokens that remain after the cut."""
        return max(0, min(self.tokens[position], max_seq_length) - self.start[position])


class _Cached(msgspec.Struct):
    version: int
    tokens: bytes
    start: bytes
    refused: dict[int, str]
    refused_count: int
    system_ignored: bool


def cache_path(cache: Path, fingerprint: str, columns: Columns, tokenizer: str, system_prompt: str | None) -> Path:
    """Return the path in the cache. `fingerprint` is the dataset's checksum, and `tokenizer` that of the tokenizer."""
    return kept.cache_path(cache, "lengths", VERSION, fingerprint, columns.key(), tokenizer, system_prompt)


def save(path: Path, lengths: Lengths) -> None:
    """Write the lengths to the cache. Raises OSError."""
    columns = lengths.tokens.tobytes(), lengths.start.tobytes()
    kept.save(path, _Cached(VERSION, *columns, lengths.refused, lengths.refused_count, lengths.system_ignored))


def load(path: Path, rows: int | None = None) -> Lengths | None:
    """Load the lengths; None if they are missing, damaged, or not those of `rows` good rows."""
    cached = kept.load(path, _Cached)
    if cached is None or cached.version != VERSION or len(cached.tokens) != len(cached.start):
        return None
    try:
        tokens, start = array("I", cached.tokens), array("I", cached.start)
    except ValueError:  # the last number is incomplete
        return None
    if rows is not None and len(tokens) != rows:
        return None
    return Lengths(tokens, start, cached.refused, cached.refused_count, cached.system_ignored)
