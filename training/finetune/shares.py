"""Deals the batches of a dataset out to the ranks: rank 0 takes the first, rank 1 the second, and so on.

accelerate completes the last round with rows of the beginning, which would be learned twice. Here a rank without a
batch gets a blank one, whose gradient is zero, so that a step learns exactly the rows that one process would learn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from training.job.tokens import IGNORED

BLANK = {"input_ids": [0, 0], "labels": [IGNORED, IGNORED]}
"""A row of which nothing is learned."""

Batch = dict[str, Any]


class _WholeRounds:
    """The batches of `batches` by the positions of their rows, and then empty ones, until each rank has had as many."""

    batch_size = None  # for accelerate: batches have different sizes, and none must be completed
    drop_last = False

    def __init__(self, batches: Any, ranks: int) -> None:
        self._batches, self._blank = batches, -len(batches) % ranks
        self.sampler = batches.sampler

    def __len__(self) -> int:
        return len(self._batches) + self._blank

    def __iter__(self) -> Iterator[list[int]]:
        yield from self._batches
        yield from [[]] * self._blank


def deal_out(loader: Any, ranks: int) -> None:
    """Let `loader`, a DataLoader that accelerate has prepared, deal its batches out to that many ranks."""
    shard: Any = loader.batch_sampler
    shard.batch_sampler = _WholeRounds(shard.batch_sampler, ranks)
    shard.batch_size = None
    shard.sampler = shard.batch_sampler.sampler  # where transformers sets the epoch of a resumed run
    collate = _with_blank(loader.collate_fn)
    for each in (loader, loader.base_dataloader):  # a resumed run copies the first, and the second makes the batches
        each.collate_fn = collate


def _with_blank(collate: Callable[[list[Any]], Batch]) -> Callable[[list[Any]], Batch]:
    return lambda rows: collate(rows or [BLANK])


def is_blank(batch: Batch) -> bool:
    """Return whether nothing of the batch is learned."""
    return not bool((batch["labels"] != IGNORED).any())
