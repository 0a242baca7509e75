"""Callbacks that write the run's events and that end training after a stop request."""

# ruff: noqa: ARG002  transformers calls every callback with the same arguments, used or not

from __future__ import annotations

import math
import time
from typing import Any

import psutil
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.contract import events as ev
from training.contract.units import MIB
from training.finetune import checkpoints
from training.finetune.attempt import Attempt
from training.finetune.book_judge import BookJudge
from training.finetune.gpu import Card
from training.finetune.samples import Sampler

MIN_SECONDS_BETWEEN_REPORTS = 1.0  # for memory, and for the progress of an evaluation


class Reporter(TrainerCallback):
    """Writes an event for everything that `transformers.Trainer` reports.

    Its clock runs only while steps are taken: not during an evaluation, a save, a pause before a step by a callback
    that was added earlier, or between `report_pause` and the next step.
    """

    def __init__(
        self, attempt: Attempt, sampler: Sampler, card: Card | None, book_judge: BookJudge | None = None
    ) -> None:
        self._attempt = attempt
        self._emit = attempt.events.emit
        self._sampler = sampler
        self._card = card
        self._book_judge = book_judge
        self._memory_reported_at = self._batch_reported_at = 0.0
        self._phase = ""  # name of the last phase reported
        self._saving_since = 0.0
        self._clock_started_at: float | None = None  # None while the clock stands
        self._step_seconds = 0.0  # time in steps since the last log
        self._tokens_logged = 0
        self._batches = 0  # batches done in the current evaluation

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._attempt.step = state.global_step
        self._tokens_logged = int(state.num_input_tokens_seen)
        if state.global_step == 0 and args.eval_strategy != "no" and self._sampler.count:
            self._report_phase("sampling", detail=f"the base model's answer{'s' * (self._sampler.count > 1)}")
            self._sampler.report(
                kwargs["model"], kwargs["processing_class"], args, state
            )  # a new adapter changes nothing yet

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._phase != "training":
            self.report_training(state)
        if self._clock_started_at is None:
            self._clock_started_at = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._attempt.step = state.global_step
        asks = self._book_judge is not None and self._book_judge.is_due(state)
        if control.should_log or control.should_evaluate or control.should_save or asks:
            self._stop_clock()
        if control.should_evaluate:
            self._report_phase("evaluating")
            return
        if asks:  # at the end, and in a run without evaluation rows
            self._report_pass_rate(args, state, kwargs)
        if control.should_save:
            self._report_saving()

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        if "loss" not in logs:  # transformers logs evaluations and the end of training here too
            return
        figures = {name: logs.get(name) for name in ("loss", "learning_rate", "grad_norm")}
        tokens = int(state.num_input_tokens_seen)
        new_tokens, self._tokens_logged = tokens - self._tokens_logged, tokens
        seconds, self._step_seconds = self._step_seconds, 0.0
        self._emit(
            ev.Metrics(
                step=state.global_step,
                epoch=state.epoch,
                tokens=tokens,
                tokens_per_second=round(new_tokens / seconds, 1) if seconds > 0 else None,
                not_finite=tuple(name for name, x in figures.items() if x is not None and not math.isfinite(x)),
                loss=ev.finite_or_none(figures["loss"]),
                learning_rate=ev.finite_or_none(figures["learning_rate"]),
                grad_norm=ev.finite_or_none(figures["grad_norm"]),
            )
        )
        self._report_memory(state.global_step)

    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, eval_dataloader: Any, **_: Any
    ) -> None:
        now = time.monotonic()
        self._batches += 1
        if now - self._batch_reported_at > MIN_SECONDS_BETWEEN_REPORTS:
            self._batch_reported_at = now
            self._report_phase("evaluating", done=self._batches, total=len(eval_dataloader), unit="batches")

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        metrics = kwargs["metrics"]
        self._batches = 0
        self._emit(
            ev.Eval(
                step=state.global_step,
                eval_loss=ev.finite_or_none(metrics.get("eval_loss")),
                epoch=state.epoch,
                seconds=metrics.get("eval_runtime"),
            )
        )
        self._sampler.report(kwargs["model"], kwargs["processing_class"], args, state)
        self._report_pass_rate(args, state, kwargs)
        if control.should_save:
            self._report_saving()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        run = self._attempt.run
        folder = run.checkpoints / f"{checkpoints.PREFIX}{state.global_step}"
        if checkpoints.is_whole(folder):
            seconds = round(time.monotonic() - self._saving_since, 3)
            path = str(folder.relative_to(run.path))
            self._emit(ev.Checkpoint(step=state.global_step, path=path, seconds=seconds))
        else:
            self._emit(ev.Warned(message=f"The checkpoint of step {state.global_step} is incomplete on disk."))

    def report_pause(self, name: ev.PhaseName, state: TrainerState) -> None:
        """Report that the run does something else between two steps, and stop the clock."""
        self._stop_clock()
        self._report_phase(name, done=state.global_step, total=state.max_steps, unit="steps")

    def report_training(self, state: TrainerState) -> None:
        self._report_phase("training", done=state.global_step, total=state.max_steps, unit="steps")

    def _report_pass_rate(self, args: TrainingArguments, state: TrainerState, kwargs: dict[str, Any]) -> None:
        if self._book_judge:
            self._report_phase("evaluating", detail="the questions of the book")
            self._book_judge.report(kwargs["model"], kwargs["processing_class"], args, state)

    def _stop_clock(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # the kernels of the step may still run
        if self._clock_started_at is not None:
            self._step_seconds += time.monotonic() - self._clock_started_at
            self._clock_started_at = None

    def _report_saving(self) -> None:
        self._saving_since = time.monotonic()
        self._report_phase("saving", detail="checkpoint")

    def _report_phase(self, name: ev.PhaseName, **details: Any) -> None:
        self._phase = name
        self._emit(ev.Phase(name=name, **details))

    def _report_memory(self, step: int) -> None:
        now = time.monotonic()
        if now - self._memory_reported_at < MIN_SECONDS_BETWEEN_REPORTS:
            return
        self._memory_reported_at = now
        memory = ev.Memory(step=step, host_mib=round(psutil.Process().memory_info().rss / MIB, 1))
        if torch.cuda.is_available():
            memory.allocated_mib = torch.cuda.memory_allocated() / MIB
            memory.reserved_mib = torch.cuda.memory_reserved() / MIB
            memory.peak_allocated_mib = torch.cuda.max_memory_allocated() / MIB
            memory.peak_reserved_mib = torch.cuda.max_memory_reserved() / MIB
        if self._card is not None:
            reading = self._card.record(self._emit)
            memory.device_mib, memory.total_mib = reading.used_mib, reading.total_mib
        self._emit(memory)


class StopOnRequest(TrainerCallback):
    """After a stop request, saves a checkpoint and ends training with the current step. An evaluation that was due at
    that step is made when the run goes on."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        is_due = args.eval_strategy != "no" and state.global_step > 0 and state.global_step % state.eval_steps == 0
        evaluated = (entry["step"] for entry in reversed(state.log_history) if "eval_loss" in entry)
        args.eval_on_start = is_due and state.global_step not in evaluated

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._attempt.stop.level and state.global_step < state.max_steps:
            self._attempt.events.emit(ev.Stopping(step=state.global_step))
            control.should_evaluate = False
            control.should_save = control.should_training_stop = True
