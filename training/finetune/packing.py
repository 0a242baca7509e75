"""Packing: the rows of an optimizer step go through the model end to end and without padding, in as few passes as fit
in memory. A step keeps its rows and their token-weighted gradient, and needs fewer passes.

Position ids that start again at 0 keep the rows apart in the attention. No target crosses from one row to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch
from datasets import Dataset

if TYPE_CHECKING:
    from trl import SFTTrainer

Row = dict[str, Any]  # {"input_ids": [...], "labels": [...]}
Batch = dict[str, Any]  # tensors of one row of tokens: input_ids, labels, position_ids; with Unsloth packed_seq_lengths

NEVER_PACKED = ("gemma2", "gpt_oss")  # Unsloth's attention for these ignores where a packed row begins


def make_dataset(rows: list[Row], max_seq_length: int) -> Dataset:
    """Return tokenised rows, none longer than `max_seq_length`, as a dataset. Unsloth packs only rows that were cut,
    which the attribute says."""
    dataset = Dataset.from_list(rows)
    dataset._unsloth_truncated_to = max_seq_length
    return dataset


def enable(trainer: SFTTrainer, pass_tokens: int) -> bool:
    """Let `trainer` pack the rows of a batch for passes of at most `pass_tokens` tokens each. Its SFTConfig must ask
    for padding_free.

    Returns False if rows of this model can't be kept apart; the trainer then pads them, as without packing.
    """
    collator = trainer.data_collator
    if trainer.model.config.model_type in NEVER_PACKED:
        return False
    if torch.cuda.is_available():
        if not trainer.args.padding_free:  # Unsloth clears it for models whose attention it can't separate
            return False
    else:  # Unsloth clears padding_free on every CPU, but transformers' own attention separates rows by position ids
        collator.padding_free = True
    collator.torch_call = _grouped(collator.torch_call, pass_tokens)
    return True


def _grouped(collate: Callable[[Sequence[Row]], Batch], pass_tokens: int) -> Callable[[Sequence[Row]], Batch]:
    """Return `collate` for rows in an order in which those of one pass are neighbours."""

    def collate_grouped(rows: Sequence[Row]) -> Batch:
        groups = group_rows([len(row["input_ids"]) for row in rows], pass_tokens)
        return collate([rows[position] for group in groups for position in group])

    return collate_grouped


def group_rows(lengths: Sequence[int], pass_tokens: int) -> list[list[int]]:
    """Group rows of `lengths` tokens for passes of at most `pass_tokens`, by best fit decreasing. Returns the positions
    in `lengths`. A row longer than a pass gets a group of its own."""
    groups: list[list[int]] = []
    free: list[int] = []  # tokens left in each group
    for position in sorted(range(len(lengths)), key=lambda position: (-lengths[position], position)):
        needed = lengths[position]
        fitting = [group for group, room in enumerate(free) if room >= needed]
        if fitting:
            best = min(fitting, key=lambda group: free[group])
            groups[best].append(position)
            free[best] -= needed
        else:
            groups.append([position])
            free.append(pass_tokens - needed)
    return groups


def split_into_passes(batch: Batch, pass_tokens: int) -> Iterator[Batch]:
    """Split a batch of packed rows into passes of at most `pass_tokens` tokens. Rows stay whole; a row longer than a
    pass has one of its own."""
    starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
    ends = [*starts[1:], batch["input_ids"].shape[1]]
    first = 0  # the first row of the current pass
    for row in range(1, len(starts) + 1):
        if row < len(starts) and ends[row] - starts[first] <= pass_tokens:
            continue  # the row fits into the current pass
        part = {name: values[:, starts[first] : ends[row - 1]] for name, values in batch.items() if values.ndim == 2}
        if "packed_seq_lengths" in batch:
            part["packed_seq_lengths"] = batch["packed_seq_lengths"][first:row]
        yield part
        first = row
