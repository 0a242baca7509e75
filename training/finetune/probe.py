"""The probe: the longest row goes forward and backward before step 1, so that out-of-memory comes at once, and the
forecast learns what this card really takes."""

# ruff: noqa: ARG002  the arguments are those that transformers.TrainerCallback gives

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.contract import events as ev
from training.contract.profile import Profile
from training.finetune.attempt import Attempt
from training.finetune.gpu import MIB, Card
from training.finetune.vram import VramLimit
from training.job.job import Job
from training.job.tokens import IGNORED
from training.memory import probes
from training.memory.forecast import forecast, optimizer_bytes
from training.memory.model_shape import ModelShape

PASSES = 2  # the second meets the gradients of the first, as every pass of an accumulated step but one does
SHORT = 32  # tokens that are enough to load every kernel


class Probe(TrainerCallback):
    """Runs once, when training begins: by then the model is prepared as for every step.

    `profile` is what runs, with the layers to offload counted; `shape` is None where no forecast is made of the model.
    `trainer`, and `longest` of its examples, are set once there are any.
    """

    def __init__(
        self,
        attempt: Attempt,
        job: Job,
        profile: Profile,
        shape: ModelShape | None,
        limit: VramLimit,
        card: Card | None,
    ) -> None:
        self.trainer: Any = None
        self.longest: dict[str, list[int]] = {}
        self._emit = attempt.events.emit
        self._job, self._profile, self._shape = job, profile, shape
        self._limit, self._card = limit, card

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        tokens = len(self.longest["input_ids"])
        self._emit(ev.Phase(name="probing", detail=f"the longest row, {tokens:,} tokens"))
        what = f"The longest row, {tokens:,} tokens, can't be trained"
        with self._limit.explained(what, self._profile, self._shape), _undisturbed(self.trainer):
            self._pass(SHORT)
            self._limit.apply(loaded=True)
            _forget_peaks()
            for _ in range(PASSES):
                self._pass(tokens)
            event = self._measured(tokens)
        self._limit.apply(loaded=True)
        self._emit(event)

    def _pass(self, tokens: int) -> None:
        cut = {name: values[:tokens] for name, values in self.longest.items()}
        batch = dict(self.trainer.data_collator([cut] * self.trainer.args.per_device_train_batch_size))
        learned = (batch["labels"] != IGNORED).sum().clamp(min=1).to(self.trainer.args.device)
        self.trainer.training_step(self.trainer.model_wrapped, batch, num_items_in_batch=learned)

    def _measured(self, tokens: int) -> ev.Probe:
        event = ev.Probe(tokens=tokens, rows=self.trainer.args.per_device_train_batch_size)
        if not torch.cuda.is_available():
            return event
        torch.cuda.synchronize()
        event.peak_allocated_mib = round(torch.cuda.max_memory_allocated() / MIB, 1)
        event.peak_reserved_mib = round(torch.cuda.max_memory_reserved() / MIB, 1)
        event.context_mib = round(self._limit.context_mib, 1)
        event.limit_mib = self._limit.mib
        if self._shape:
            shorter = self._profile.model.model_copy(update={"max_seq_length": tokens})
            profile = self._profile.model_copy(update={"model": shorter})
            machine = replace(self._limit.machine, context_mib=event.context_mib)
            event.forecast_mib = round(forecast(profile, self._shape, machine).device_mib, 1)
        if self._card and self._profile.model.offload_layers != "auto":
            layers = int(self._profile.model.offload_layers)
            probed = probes.Probed(tokens, event.peak_reserved_mib, event.context_mib, layers)
            with suppress(OSError):  # the run matters more than the next forecast
                probes.write(self._job.cache, self._card.name, self._job.profile, probed)
        return event


def _forget_peaks() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


@contextmanager
def _undisturbed(trainer: Any) -> Iterator[None]:
    """Training goes on afterwards as if nothing had been: Python's and torch's random states, gradients, counters. The
    optimiser's state, which its first step makes, is stood in for by as much memory."""
    states = random.getstate(), torch.get_rng_state(), torch.cuda.get_rng_state_all()
    counted = getattr(trainer, "_total_train_tokens", None)
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps  # the loop sets it later
    held: Any = None
    if torch.cuda.is_available() and not trainer.optimizer.state:
        sizes = [p.numel() for p in trainer.model.parameters() if p.requires_grad]
        held = [
            torch.empty(optimizer_bytes([size], trainer.args.optim), dtype=torch.uint8, device="cuda") for size in sizes
        ]
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
        _forget_peaks()  # what the probe cut up does not stay cut up
