"""The probe: the longest row goes forward and backward before step 1, so that out-of-memory comes at once, and the
forecast learns what this card really takes."""

# ruff: noqa: ARG002  the arguments are those that transformers.TrainerCallback gives

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.attempt import Attempt
from training.contract import events as ev
from training.contract.forecast import optimizer_bytes
from training.data import IGNORED
from training.gpu import MIB
from training.job import Job
from training.memory import VramLimit

PASSES = 2  # the second meets the gradients of the first, as every pass of an accumulated step but one does


class Probe(TrainerCallback):
    """Runs once, when training begins: by then the model is prepared as for every step."""

    def __init__(self, job: Job | None, attempt: Attempt, limit: VramLimit) -> None:
        self.trainer: Any = None
        self._job = job
        self._attempt = attempt
        self._limit = limit

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        rows = self.trainer.train_dataset
        longest = max(range(len(rows)), key=lambda position: len(rows[position]["input_ids"]))
        tokens = len(rows[longest]["input_ids"])
        self._attempt.events.emit(ev.Phase(name="probing", detail=f"the longest row, {tokens:,} tokens"))
        with _undisturbed(self.trainer):
            for _ in range(PASSES):
                batch = self._batch(rows[longest])
                learned = (batch["labels"] != IGNORED).sum().to(args.device)
                self.trainer.training_step(self.trainer.model_wrapped, batch, num_items_in_batch=learned)
            self._attempt.events.emit(self._measured(tokens))
        self._limit.apply(loaded=True)

    def _batch(self, row: dict[str, Any]) -> dict[str, Any]:
        count = self.trainer.args.per_device_train_batch_size
        return dict(self.trainer.data_collator([row] * count))

    def _measured(self, tokens: int) -> ev.Probe:
        event = ev.Probe(tokens=tokens, rows=self.trainer.args.per_device_train_batch_size)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            event.peak_allocated_mib = round(torch.cuda.max_memory_allocated() / MIB, 1)
            event.peak_reserved_mib = round(torch.cuda.max_memory_reserved() / MIB, 1)
            event.context_mib = round(self._limit.context_mib, 1)
            event.limit_mib = self._limit.mib
        return event


@contextmanager
def _undisturbed(trainer: Any) -> Iterator[None]:
    """Training goes on afterwards as if nothing had been: same random state, no gradients, no counters moved. The
    optimiser's state, which its first step makes, is stood in for by as much memory."""
    states = random.getstate(), torch.get_rng_state(), torch.cuda.get_rng_state_all()
    counted = getattr(trainer, "_total_train_tokens", None)
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps  # the loop sets it later
    on_gpu = torch.cuda.is_available()
    held: Any = None
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        if not trainer.optimizer.state:
            sizes = [p.numel() for p in trainer.model.parameters() if p.requires_grad]
            held = torch.empty(optimizer_bytes(sizes, trainer.args.optim), dtype=torch.uint8, device="cuda")
    try:
        yield
    finally:
        del held
        trainer.model.zero_grad(set_to_none=True)
        random.setstate(states[0])
        torch.set_rng_state(states[1])
        torch.cuda.set_rng_state_all(states[2])
        if counted is not None:
            trainer._total_train_tokens = counted
            trainer._metrics["train"].clear()
        if on_gpu:
            torch.cuda.empty_cache()  # else what the probe cut up stays cut up
            torch.cuda.reset_peak_memory_stats()
