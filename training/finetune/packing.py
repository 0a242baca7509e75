"""Packing: the rows of an optimizer step, or of an evaluation, go through the model end to end and without padding, in
as few passes as fit in memory. A step keeps its rows and their token-weighted gradient, and needs fewer passes.

Position ids that start again at 0 keep the rows apart in the attention. No target crosses from one row to the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset

from training.dataset.passes import group_rows, stretch
from training.memory.model_shape import NEVER_PACKED

if TYPE_CHECKING:
    from trl import SFTTrainer

Row = dict[str, Any]  # {"input_ids": [...], "labels": [...]}
Batch = dict[str, Any]  # tensors of one row of tokens: input_ids, labels, position_ids; with Unsloth packed_seq_lengths

EVAL_ROWS = 64  # of an evaluation are packed together


def make_dataset(rows: list[Row], max_seq_length: int) -> Dataset:
    """Return tokenised rows, none longer than `max_seq_length`, as a dataset. Unsloth packs only rows that were cut,
    which the attribute says."""
    dataset = Dataset.from_list(rows)
    dataset._unsloth_truncated_to = max_seq_length
    return dataset


def enable(trainer: SFTTrainer) -> bool:
    """Let the batches of `trainer` be packed rows without padding. Its SFTConfig must ask for padding_free.

    Returns False if rows of this model can't be kept apart; the trainer then pads them, as without packing.
    """
    if trainer.model.config.model_type in NEVER_PACKED:
        return False
    if torch.cuda.is_available():
        return bool(trainer.args.padding_free)  # Unsloth clears it for models whose attention it can't separate
    # Unsloth clears padding_free on every CPU, but transformers' own attention separates rows by position ids
    trainer.data_collator.padding_free = True
    return True


def find_largest_pass(rows: list[Row], batch_size: int, pass_tokens: int | None) -> list[Row]:
    """Return the rows of the pass that needs the most memory. `rows` are tokenised. `batch_size` is the trainer's,
    which for packed rows counts all rows of a step; `pass_tokens` is the limit of a packed pass, or None if rows are
    padded. A pass of full rows is not stretched."""
    by_length = sorted(rows, key=lambda row: len(row["input_ids"]), reverse=True)
    if pass_tokens is None:
        return [by_length[0]] * batch_size
    longest, shortest = (len(by_length[place]["input_ids"]) for place in (0, -1))
    largest = [by_length[0]]
    room = (stretch(pass_tokens) if longest + shortest <= stretch(pass_tokens) else pass_tokens) - longest
    for row in by_length[1:batch_size]:
        if room <= 0:
            break
        largest.append({name: values[:room] for name, values in row.items()})
        room -= len(row["input_ids"])
    return largest


def find_starts(batch: Batch) -> list[int]:
    """Find the positions at which the rows of a batch of packed rows begin."""
    return (batch["position_ids"][0] == 0).nonzero().flatten().tolist()


def split_into_passes(batch: Batch, pass_tokens: int) -> Iterator[Batch]:
    """Split a batch of packed rows into passes of about `pass_tokens` tokens, as `group_rows` says. Rows stay whole."""
    starts = find_starts(batch)
    ends = [*starts[1:], batch["input_ids"].shape[1]]
    for rows in group_rows([end - start for start, end in zip(starts, ends, strict=True)], pass_tokens):
        part = {
            name: torch.cat([values[:, starts[row] : ends[row]] for row in rows], dim=1)
            for name, values in batch.items()
            if values.ndim == 2
        }
        if "packed_seq_lengths" in batch:
            part["packed_seq_lengths"] = batch["packed_seq_lengths"][rows]
        yield part
