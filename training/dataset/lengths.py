"""How long each good row is in tokens, and where its answer begins.

What is learned is always the end of a row, so these two numbers say for every max_seq_length what the cut leaves:
nothing is tokenised again for another one.
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
MOST_REFUSED = 1000  # whose reasons are kept


@dataclass
class Lengths:
    """Of the good rows, in their order: `tokens` of the whole row, uncut, and `start`, where learning begins; both are
    the same where nothing is learned.

    `refused` are good rows, by position, that the model's chat template refuses, and why: 0 tokens. `system_ignored`
    where the template leaves system messages out without a word.
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
        if len(self.refused) < MOST_REFUSED:
            self.refused[len(self.tokens)] = reason
        self.refused_count += 1
        self.add(0, 0)

    @cached_property
    def counts(self) -> Counter[int]:
        """How many rows have how many tokens; ask once all are there."""
        return Counter(self.tokens)

    @cached_property
    def starts(self) -> Counter[int]:
        """How many rows begin to be learned at which token; ask once all are there."""
        return Counter(self.start)

    @cached_property
    def unlearned(self) -> array[int]:
        """The rows without anything to learn, whatever the cut; ask once all are there."""
        return array("I", (row for row, (tokens, start) in enumerate(zip(self.tokens, self.start, strict=True))
                           if tokens == start))  # fmt: skip

    @cached_property
    def ordered(self) -> array[int]:
        """The tokens of every row, ascending."""
        found = array("I")
        for tokens, rows in sorted(self.counts.items()):
            found.extend(array("I", [tokens]) * rows)
        return found

    def learned(self, position: int, max_seq_length: int) -> int:
        """Tokens of the answer that the cut leaves."""
        return max(0, min(self.tokens[position], max_seq_length) - self.start[position])


class _Kept(msgspec.Struct):
    version: int
    tokens: bytes
    start: bytes
    refused: dict[int, str]
    refused_count: int
    system_ignored: bool


def place(cache: Path, fingerprint: str, columns: Columns, tokenizer: str, system_prompt: str | None) -> Path:
    """Where the lengths are kept: `fingerprint` is of the dataset's bytes, `tokenizer` of the tokenizer's."""
    return kept.place(cache, "lengths", VERSION, fingerprint, columns.key(), tokenizer, system_prompt)


def save(path: Path, lengths: Lengths) -> None:
    """Raises OSError."""
    columns = lengths.tokens.tobytes(), lengths.start.tobytes()
    kept.save(path, _Kept(VERSION, *columns, lengths.refused, lengths.refused_count, lengths.system_ignored))


def load(path: Path, rows: int | None = None) -> Lengths | None:
    """None where they are not there, damaged, or not of `rows` good rows."""
    found = kept.load(path, _Kept)
    if found is None or found.version != VERSION or len(found.tokens) != len(found.start):
        return None
    try:
        tokens, start = array("I", found.tokens), array("I", found.start)
    except ValueError:  # half a number at the end
        return None
    if rows is not None and len(tokens) != rows:
        return None
    return Lengths(tokens, start, found.refused, found.refused_count, found.system_ignored)
