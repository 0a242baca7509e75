"""Keeps the tokens of a dataset's rows in the cache, so that a resume does not tokenise them again.

They are kept by content: of the rows, of the tokenizer and of what decides which parts are learned.
"""

from __future__ import annotations

import hashlib
import json
import marshal
import shutil
from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from training.contract.dataset_table import Dataset
from training.dataset import kept
from training.dataset.shapes import Row
from training.dataset.template_faults import TemplateFaults
from training.job.tokens import Encoded, EncodedRow

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VERSION = 1
MAX_BYTES = 512 * 2**20  # of one dataset's tokens, 4 bytes each
MAX_FILES = 4
FREE_SHARE = 0.1  # of the disk's free space that a file may take


class _Cached(msgspec.Struct):
    """`ids` are the tokens of all sequences, `spans` the learned parts of all. The other arrays count the sequences of
    each row, the tokens of each sequence and the spans of each sequence."""

    version: int
    ids: memoryview
    sequences: memoryview
    tokens: memoryview
    answers: memoryview
    spans: memoryview
    refused: dict[int, str]
    faults: TemplateFaults  # of all rows


def hash_tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash of everything that decides the tokens of a row: the vocabulary, its rules and the chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    vocabulary = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    parts = [type(tokenizer).__name__, vocabulary, str(tokenizer.chat_template), str(tokenizer.special_tokens_map)]
    if getattr(backend, "encode_special_tokens", False):  # the only setting that `to_str` leaves out
        parts.append("encode_special_tokens")
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def cache_path(cache: Path, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, dataset: Dataset) -> Path:
    """Return the path in the cache for the tokens of `rows`."""
    content = hashlib.sha256()
    for row in rows:
        content.update(marshal.dumps((row.messages, row.answers, row.tools, row.text), 2))  # 2: by value alone
    library = version("transformers")
    settings = (dataset.system_prompt, dataset.learn)
    return kept.cache_path(cache, "tokens", VERSION, content.hexdigest(), hash_tokenizer(tokenizer), library, *settings)


class Tokens:
    """Collects the tokens of rows for the cache, until they are too many."""

    def __init__(self) -> None:
        self._ids, self._spans = array("I"), array("I")
        self._sequences, self._tokens, self._answers = array("I"), array("I"), array("I")
        self._refused: dict[int, str] = {}
        self._faults = TemplateFaults()

    @property
    def size(self) -> int:
        return self._ids.itemsize * len(self._ids)

    def add(self, rows: Sequence[EncodedRow]) -> None:
        """Add the tokens of the next rows."""
        if self.size > MAX_BYTES:
            return
        for row in rows:
            if row.refusal:
                self._refused[len(self._sequences)] = row.refusal
            self._sequences.append(len(row.sequences))
            self._faults.add(row.faults)
            for sequence in row.sequences:
                self._ids.extend(sequence.input_ids)
                self._tokens.append(len(sequence.input_ids))
                self._answers.append(len(sequence.spans))
                for span in sequence.spans:
                    self._spans.extend(span)

    def save(self, path: Path) -> None:
        """Write the tokens to the cache, unless they are too many. Errors are ignored: the cache is never needed."""
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.size > min(MAX_BYTES, FREE_SHARE * shutil.disk_usage(path.parent).free):
                return
            cached = _Cached(
                version=VERSION,
                ids=memoryview(self._ids),
                sequences=memoryview(self._sequences),
                tokens=memoryview(self._tokens),
                answers=memoryview(self._answers),
                spans=memoryview(self._spans),
                refused=self._refused,
                faults=self._faults,
            )
            kept.save(path, cached, MAX_FILES)


def load(path: Path, rows: int) -> list[EncodedRow] | None:
    """Load the tokens of `rows` rows; None if they are missing or damaged. The first row has the faults of all."""
    cached = kept.load(path, _Cached)
    if cached is None or cached.version != VERSION:
        return None
    try:
        parts = (cached.sequences, cached.tokens, cached.answers, cached.spans, cached.ids)
        sequences, tokens, answers, spans, ids = (part.cast("I") for part in parts)
    except TypeError:  # the last number is incomplete
        return None
    if len(sequences) != rows or sum(sequences) != len(tokens) or sum(tokens) != len(ids):
        return None
    if len(answers) != len(tokens) or 2 * sum(answers) != len(spans):
        return None
    remaining = _list_sequences(tokens, answers, spans, ids)
    encoded = [
        EncodedRow(list(islice(remaining, count)), cached.refused.get(position, ""))
        for position, count in enumerate(sequences)
    ]
    if encoded:
        encoded[0].faults = cached.faults
    return encoded


def _list_sequences(tokens: memoryview, answers: memoryview, spans: memoryview, ids: memoryview) -> Iterator[Encoded]:
    token = place = 0
    for length, count in zip(tokens, answers, strict=True):
        numbers = spans[place : place + 2 * count].tolist()
        pairs = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        yield Encoded(ids[token : token + length].tolist(), pairs)
        token, place = token + length, place + 2 * count
