"""Names the rows of the pass that found no GPU memory: their file, their line and their length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from training.dataset.rows import Rows
from training.dataset.source import Source
from training.finetune.packing import find_largest_pass, find_starts
from training.job.examples import Examples

if TYPE_CHECKING:
    from training.finetune.trainer import Trainer


@dataclass(frozen=True)
class FailedPass:
    """A pass of `tokens` tokens. Its longest row has `row_tokens` of them and is in `line` of `file`; line 0 if it is
    not known, and file "" if the dataset has one file. `largest_tokens` are those of the largest pass of the run,
    `longest_tokens` those of its longest row."""

    is_evaluation: bool
    tokens: int
    row_tokens: int
    largest_tokens: int
    longest_tokens: int
    file: str = ""
    line: int = 0


class PassFinder:
    """Finds the pass that `trainer` was running when an error ended it. It costs nothing before that."""

    def __init__(self, trainer: Trainer, examples: Examples, rows: Rows, source: Source) -> None:
        self._trainer, self._examples, self._rows, self._source = trainer, examples, rows, source

    def __call__(self) -> FailedPass | None:
        """Return None if no pass was running, as in the step of the optimizer."""
        batch = self._trainer.running_pass
        if batch is None:
            return None
        is_evaluation = self._trainer.is_evaluating
        sequences = _split_rows(batch)
        longest = max(sequences, key=len)
        place = self._examples.find_row(longest)
        row = None if place is None else self._rows.rows[place]
        return FailedPass(
            is_evaluation,
            tokens=batch["input_ids"].numel(),
            row_tokens=len(longest),
            largest_tokens=self._count_largest(),
            longest_tokens=max(self._examples.lengths),
            file=self._source.files[row.file].name if row else "",
            line=row.line if row else 0,
        )

    def _count_largest(self) -> int:
        """The tokens of the largest pass that the run has, in training."""
        trainer = self._trainer
        batch_size = trainer.args.per_device_train_batch_size
        largest = find_largest_pass(self._examples.train, batch_size, trainer.pass_tokens)
        return sum(len(row["input_ids"]) for row in largest)


def _split_rows(batch: dict[str, Any]) -> list[list[int]]:
    """Return the tokens of each row of a batch, packed or padded."""
    ids = batch["input_ids"].cpu()
    if "position_ids" in batch and ids.shape[0] == 1:
        starts = find_starts(batch)
        ends = [*starts[1:], ids.shape[1]]
        return [ids[0, start:end].tolist() for start, end in zip(starts, ends, strict=True)]
    mask = batch.get("attention_mask")
    lengths = mask.sum(dim=1).tolist() if mask is not None else [ids.shape[1]] * ids.shape[0]
    # The padding comes after the row.
    return [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]
