"""Makes the trainer's examples of a dataset's rows: tokenises the rows, cuts or drops the long ones, and divides them
into training and evaluation."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from training.contract.failures import TrainingFailure
from training.dataset.shapes import Row
from training.dataset.template_faults import TemplateFaults
from training.job import kept_tokens
from training.job.tokens import EncodedRow, RowEncoder, describe_refusal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from training.contract.profile import Profile
    from training.job.job import Job

BATCH_ROWS = 256
PROGRESS_SECONDS = 0.25
FROM_CACHE = "from the cache"

Progress = Callable[[int, str], None]
Wait = Callable[[Path, Progress], None]
"""`TokenHelper.wait`, of the module `token_helper`."""


@dataclass
class Examples:
    """Tokenised rows. `train` and `eval` hold {"input_ids": [...], "labels": [...]}, ready for SFTTrainer.
    `train_places` and `eval_places` are the positions of the rows that these were made of."""

    train: list[dict[str, list[int]]] = field(default_factory=list)
    eval: list[dict[str, list[int]]] = field(default_factory=list)
    train_places: array[int] = field(default_factory=lambda: array("q"))
    eval_places: array[int] = field(default_factory=lambda: array("q"))
    train_rows: int = 0  # that `train` is made of: a row may be several sequences
    eval_rows: int = 0
    dropped: int = 0  # rows with nothing left to learn after the cut
    truncated: int = 0  # rows that lost their end in the cut, but not all answers
    longest: int = 0  # tokens of the longest row before the cut
    faults: TemplateFaults = field(default_factory=TemplateFaults)
    refused: dict[int, str] = field(default_factory=dict)  # why the chat template refused rows, by their position
    too_long: list[str] = field(default_factory=list)  # rows longer than max_seq_length, for each row

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of each sequence."""
        return [len(example["input_ids"]) for example in (*self.train, *self.eval)]

    def find_row(self, input_ids: list[int]) -> int | None:
        """Find the position of the row that became this sequence; the first of equal ones. None if there is none."""
        pairs = chain(zip(self.train, self.train_places, strict=False), zip(self.eval, self.eval_places, strict=False))
        return next((place for example, place in pairs if example["input_ids"] == input_ids), None)


def tokenise(
    rows: list[Row],
    tokenizer: PreTrainedTokenizerBase,
    profile: Profile,
    *,
    eval_rows: set[int],
    progress: Progress,
    cache: Path | None = None,
    wait: Wait | None = None,
) -> Examples:
    """Tokenise all rows, and cut or drop long ones. `eval_rows` are the positions of the evaluation rows. Rows that
    were tokenised before are read from `cache`; `wait` waits for a process that may fill it.

    Calls `progress` with the number of rows done, a few times a second, and with where their tokens come from. Raises
    TrainingFailure if the chat template refuses a row, unless the profile skips bad rows, and if rows are too long, if
    the profile refuses these.
    """
    examples, limit = Examples(), profile.model.max_seq_length
    all_encoded = _encode(
        rows,
        RowEncoder(tokenizer, profile.dataset),
        progress,
        cache and kept_tokens.cache_path(cache, rows, tokenizer, profile.dataset),
        wait,
    )
    for position, (row, encoded) in enumerate(zip(rows, all_encoded, strict=True)):
        if encoded.refusal:
            examples.refused[position] = describe_refusal(row, encoded.refusal)
            if profile.dataset.on_bad_rows == "refuse":
                raise TrainingFailure("bad_data", examples.refused[position])
        _add(examples, position, row, encoded, profile, is_eval=position in eval_rows)
    if examples.too_long and profile.dataset.long_rows == "refuse":
        count = len(examples.too_long)
        raise TrainingFailure(
            "bad_data",
            f"{count} row{'s are' if count > 1 else ' is'} longer than {limit} tokens. "
            f"The first: {examples.too_long[0]}.",
            'Raise model.max_seq_length, or set dataset.long_rows to "cut" or "drop".',
        )
    return examples


def _encode(
    rows: list[Row],
    encoder: RowEncoder,
    progress: Progress,
    path: Path | None,
    wait: Wait | None,
) -> Iterator[EncodedRow]:
    """Yield each row with its tokens, from the cache at `path` if it has them. Otherwise they are put there."""
    if path and wait:
        wait(path, progress)
    if path and (known := kept_tokens.load(path, len(rows))):
        progress(len(rows), FROM_CACHE)
        yield from known
    else:
        yield from encode_rows(rows, encoder, lambda done: progress(done, ""), path)


def encode_rows(
    rows: list[Row], encoder: RowEncoder, progress: Callable[[int], object], path: Path | None
) -> Iterator[EncodedRow]:
    """Tokenise the rows, yield each of them, and put all tokens into the cache at `path`. Calls `progress` with the
    number of rows done, a few times a second."""
    tokens, done, reported_at = kept_tokens.Tokens(), 0, 0.0
    for batch in map(encoder.encode, _batches(rows)):
        yield from batch
        if path:
            tokens.add(batch)
        done += len(batch)
        if done == len(rows) or time.monotonic() - reported_at > PROGRESS_SECONDS:
            reported_at = time.monotonic()
            progress(done)
    if path:
        tokens.save(path)


def _batches(rows: list[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH_ROWS)):
        yield batch


def _add(examples: Examples, position: int, row: Row, encoded: EncodedRow, profile: Profile, *, is_eval: bool) -> None:
    """Add the sequences of `row`, which is at `position`, cut or dropped if they are too long."""
    limit, long_rows = profile.model.max_seq_length, profile.dataset.long_rows
    examples.faults.add(encoded.faults)
    longest = max((len(sequence.input_ids) for sequence in encoded.sequences), default=0)
    examples.longest = max(examples.longest, longest)
    if longest > limit:
        examples.too_long.append(f"line {row.line} has {longest} tokens")
    split, places, added = examples.train, examples.train_places, 0
    if is_eval:
        split, places = examples.eval, examples.eval_places
    for sequence in encoded.sequences:
        cut = sequence.cut(limit)
        if cut.spans and (long_rows == "cut" or len(sequence.input_ids) <= limit):
            added += 1
            split.append({"input_ids": cut.input_ids, "labels": cut.labels})
            places.append(position)
    if not added:
        examples.dropped += 1
        return
    if is_eval:
        examples.eval_rows += 1
    else:
        examples.train_rows += 1
    if longest > limit:
        examples.truncated += 1


def describe_other_reading(job: Job, examples: Examples) -> str:
    """Say in a sentence that the same file has other training rows now than when the run began; "" if not."""
    before = job.config.dataset_fingerprint
    if before is None or before.train_rows in (None, examples.train_rows):
        return ""
    return (
        f"The run began with {before.train_rows:,} training rows, and this version of Codex TUI reads "
        f"{examples.train_rows:,} in the same file. The order of the rows differs from now on."
    )
