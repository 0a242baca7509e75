"""The probe runs the largest pass of training, forward and backward, and the largest pass of an evaluation before
step 1: a batch of the longest row, or a full pass of packed rows. A run that doesn't fit fails at once, not in its
first evaluation, and the forecast learns what the run really takes on this GPU. Then it times passes of usual length,
so that the time of the run is known before it begins."""

# ruff: noqa: ARG002  transformers calls every callback with the same arguments, used or not

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.contract import events as ev
from training.contract.profile import Profile
from training.contract.units import MIB
from training.dataset.passes import choose_usual_batch, count_timed_rows, draw_usual_batches
from training.finetune.attempt import Attempt
from training.finetune.packing import Row, find_largest_pass
from training.finetune.random_states import keep_random_states
from training.finetune.sharding import find_local
from training.finetune.vram import VramLimit
from training.job.examples import Examples
from training.job.job import Job
from training.job.tokens import IGNORED
from training.memory import probes
from training.memory.forecast import compute_nccl_mib, forecast, optimizer_bytes, shorten_rows
from training.memory.model_shape import ModelShape

if TYPE_CHECKING:
    from training.finetune.trainer import Trainer

WARM_UP_TOKENS = 32  # a row of this length loads every kernel
MAX_TIMED_BATCHES = 8  # beside the first one
MAX_TIMED_SECONDS = 4.0  # after which no further one is timed


class Probe(TrainerCallback):
    """Runs once, when training begins: by then the model is prepared for its first step.

    `profile` is the one that runs, with the number of offloaded layers in it; `shape` is
    None if no forecast can be made for the model.
    """

    def __init__(
        self,
        trainer: Trainer,
        examples: Examples,
        attempt: Attempt,
        job: Job,
        profile: Profile,
        shape: ModelShape | None,
        limit: VramLimit,
    ) -> None:
        self._trainer, self._examples = trainer, examples
        args = trainer.args
        self._rows = find_largest_pass(examples.train, args.per_device_train_batch_size, trainer.pass_tokens)
        self._eval_rows = examples.eval and find_largest_pass(
            examples.eval, args.per_device_eval_batch_size, trainer.eval_pass_tokens
        )
        self._emit, self._ranks = attempt.events.emit, attempt.ranks
        self._job, self._profile, self._shape, self._limit = job, profile, shape, limit

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        largest, tokens = self._describe(self._rows)
        if self._trainer.pass_tokens is not None:
            tokens = math.ceil(tokens / self._profile.pass_rows)
        self._emit(ev.Phase(name="probing", detail=largest))
        with leave_undisturbed(self._trainer):
            with self._explain(largest, "trained"):
                self._run_pass([{name: values[:WARM_UP_TOKENS] for name, values in row.items()} for row in self._rows])
                self._limit.apply(loaded=True)
                reset_peaks()
                self._run_pass(self._rows)
                self._run_pass(self._rows)  # this one starts with gradients in memory, as most passes of a step do
            if self._eval_rows:
                with self._explain(self._describe(self._eval_rows)[0], "evaluated"):
                    self._evaluate(self._eval_rows)
            event = max(self._ranks.gather(self._measure(tokens)), key=lambda each: each.peak_reserved_mib or 0)
            with self._explain(largest, "trained"):
                event.step_seconds = self._time_step()
            if self._eval_rows:
                with self._explain(self._describe(self._eval_rows)[0], "evaluated"):
                    event.eval_seconds = self._time_evaluation()
        self._limit.probed_tokens = max(len(row["input_ids"]) for row in self._rows)
        self._limit.apply(loaded=True)
        self._emit(event)

    def _describe(self, rows: list[Row]) -> tuple[str, int]:
        """Return the name and the number of tokens of a pass of `rows`; of padded rows the tokens of one row."""
        if self._trainer.pass_tokens is None:
            tokens = len(rows[0]["input_ids"])
            return f"the longest row, {tokens:,} tokens", tokens
        tokens = sum(len(row["input_ids"]) for row in rows)
        return f"the fullest pass, {tokens:,} tokens", tokens

    def _explain(self, largest: str, verb: str) -> AbstractContextManager[None]:
        task = f"{largest[0].upper()}{largest[1:]}, can't be {verb}"
        return self._limit.explain_out_of_memory("probing", task, self._profile, self._shape)

    def _evaluate(self, rows: list[Row]) -> None:
        """Run a pass of an evaluation over `rows`."""
        model = self._trainer.model
        model.zero_grad(set_to_none=True)  # as after a step
        model.eval()
        try:
            self._trainer.prediction_step(model, dict(self._trainer.data_collator(rows)), True)
        finally:
            model.train()

    def _run_pass(self, rows: list[Row]) -> None:
        """Run forward and backward over `rows`."""
        batch = dict(self._trainer.data_collator(rows))
        learned = (batch["labels"] != IGNORED).sum().clamp(min=1).to(self._trainer.args.device)
        self._trainer.training_step(self._trainer.model_wrapped, batch, num_items_in_batch=learned)

    def _time_step(self) -> float:
        """Return the seconds of a step of usual length, without the work of the optimizer. Of packed rows only one pass
        is timed each time."""
        args, rows, pass_tokens = self._trainer.args, self._examples.train, self._trainer.pass_tokens
        lengths, size = [len(row["input_ids"]) for row in rows], min(args.per_device_train_batch_size, len(rows))
        timed = count_timed_rows(lengths, size, pass_tokens)
        batches = draw_usual_batches(lengths, timed, is_padded=pass_tokens is None, number=1 + MAX_TIMED_BATCHES)

        seconds: list[float] = []
        for batch in batches:
            taken = measure_seconds(self._run_pass, [rows[place] for place in batch])
            seconds.append(max(self._ranks.gather(taken)))
            if sum(seconds[1:]) > MAX_TIMED_SECONDS:
                break
        # The first one comes after an evaluation, and may load kernels; the next ones become faster.
        usual = seconds[1:]
        return args.gradient_accumulation_steps * size / timed * median(usual[len(usual) // 2 :])

    def _time_evaluation(self) -> float:
        """Return the seconds of an evaluation, from a batch of usual length, which the first time may load kernels. Of
        packed rows only one pass is timed."""
        rows, pass_tokens = self._examples.eval, self._trainer.eval_pass_tokens
        lengths = [len(row["input_ids"]) for row in rows]
        timed = count_timed_rows(lengths, self._trainer.args.per_device_eval_batch_size, pass_tokens)
        batch = choose_usual_batch(lengths, timed, is_padded=pass_tokens is None)
        turns = (measure_seconds(self._evaluate, [rows[place] for place in batch]) for _ in range(2))
        seconds = min(max(self._ranks.gather(taken)) for taken in turns)
        return seconds * math.ceil(len(rows) / timed / self._ranks.count)

    def _measure(self, tokens: int) -> ev.Probe:
        """Read the peaks of memory, and keep them for later forecasts."""
        eval_tokens = count_tokens(self._eval_rows, is_padded=self._trainer.eval_pass_tokens is None)
        event = ev.Probe(tokens=tokens, rows=self._profile.pass_rows, eval_tokens=eval_tokens)
        if not torch.cuda.is_available():
            return event
        torch.cuda.synchronize()
        event.peak_allocated_mib = round(torch.cuda.max_memory_allocated() / MIB, 1)
        event.peak_reserved_mib = round(torch.cuda.max_memory_reserved() / MIB, 1)
        event.context_mib = round(self._limit.context_mib, 1)
        event.limit_mib = self._limit.mib
        context_mib = event.context_mib - compute_nccl_mib(self._profile)
        if self._shape:
            profile = shorten_rows(self._profile, tokens, eval_tokens)
            machine = replace(self._limit.machine, context_mib=context_mib)
            event.forecast_mib = round(forecast(profile, self._shape, machine).device_mib, 1)
        if self._ranks.is_main and self._limit.card and self._profile.model.offload_layers != "auto":
            layers = int(self._profile.model.offload_layers)
            asked = self._profile.with_value("model.offload_layers", self._job.profile.model.offload_layers)
            probed = probes.Probed(tokens, event.peak_reserved_mib, context_mib, layers, eval_tokens)
            with suppress(OSError):  # a full disk costs the next forecast, and must not cost the run
                probes.write(self._job.cache, self._limit.card.name, asked, probed)
        return event


def count_tokens(rows: list[Row], *, is_padded: bool) -> int:
    """Count the tokens of a pass of `rows`, with their padding."""
    lengths = [len(row["input_ids"]) for row in rows]
    return max(lengths, default=0) * len(lengths) if is_padded else sum(lengths)


def measure_seconds(work: Callable[[list[Row]], None], rows: list[Row]) -> float:
    """Return the seconds that `work` takes for `rows`, with all kernels that it launches on the GPU."""
    wait_for_kernels()
    started = time.perf_counter()
    work(rows)
    wait_for_kernels()
    return time.perf_counter() - started


def wait_for_kernels() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def reset_peaks() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


@contextmanager
def leave_undisturbed(trainer: Trainer) -> Iterator[None]:
    """Restore everything that a pass changes, so that training runs as if there had been none: the random states, the
    gradients and TRL's counters.

    The optimizer's state exists only after its first step, so a placeholder of the same size takes its memory.
    """
    token_count = getattr(trainer, "_total_train_tokens", None)
    # The training loop sets this number only later.
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    placeholder: Any = None
    if torch.cuda.is_available() and not trainer.optimizer.state:
        sizes = [find_local(p).numel() for p in trainer.model.parameters() if p.requires_grad]
        placeholder = [
            torch.empty(optimizer_bytes([size], trainer.args.optim), dtype=torch.uint8, device="cuda") for size in sizes
        ]
    try:
        with keep_random_states(of_gpus=True):
            yield
    finally:
        del placeholder
        trainer.model.zero_grad(set_to_none=True)
        if token_count is not None:
            trainer._total_train_tokens = token_count
            trainer._metrics["train"].clear()
            trainer._metrics["eval"].clear()
        reset_peaks()  # this also frees the blocks that the probe has split
