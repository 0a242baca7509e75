"""What the training loop tells the run's viewers, and how it hears a stop request."""

# ruff: noqa: ARG002  the arguments are those that transformers.TrainerCallback gives

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import psutil
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.contract import events as ev
from training.contract.profile import Profile
from training.dataset.shapes import Message, Row
from training.dataset.split import held_out
from training.finetune import checkpoints
from training.finetune.attempt import Attempt
from training.finetune.gpu import MIB, Card
from training.job.tokens import with_system_prompt

LEAST_SECONDS = 1.0  # between two readings of the memory and the card, or two batches told of


@dataclass(frozen=True)
class Question:
    """What is asked at each evaluation, and the answer in the data, where there is one. `text` in place of messages is
    plain text to be gone on with."""

    messages: list[Message]
    reference: str
    max_new_tokens: int
    text: str = ""

    @property
    def prompt(self) -> str:
        return self.text or self.messages[-1]["content"]

    @classmethod
    def of(cls, profile: Profile, rows: list[Row]) -> Question:
        """The profile's own question; else the first held-out row's, else the first row's."""
        settings = profile.evaluation
        row = rows[min(held_out(len(rows), profile), default=0)]
        if row.text is not None:
            words = row.text.split()
            begun = settings.sample_prompt or " ".join(words[: len(words) // 2]) or row.text
            reference = "" if settings.sample_prompt else " ".join(words[len(words) // 2 :])
            return cls([], reference, settings.sample_max_new_tokens, begun)
        if settings.sample_prompt:
            messages: list[Message] = [{"role": "user", "content": settings.sample_prompt}]
            reference = next((row.messages[-1]["content"] for row in rows if row.messages[:-1] == messages), "")
        else:
            messages, reference = row.messages[:-1], row.messages[-1]["content"]
        messages = with_system_prompt(messages, profile.dataset.system_prompt)
        return cls(messages, reference, settings.sample_max_new_tokens)


class Reporter(TrainerCallback):
    """Turns what `transformers.Trainer` reports into the run's events."""

    def __init__(self, attempt: Attempt, question: Question, card: Card | None) -> None:
        self._attempt = attempt
        self._emit = attempt.events.emit
        self._question = question
        self._card = card
        self._read_at = self._told_at = 0.0
        self._step_began = 0.0
        self._step_seconds = 0.0  # spent in steps since the last logging: evaluations and saves don't count
        self._tokens_logged = 0
        self._batches = 0  # of the evaluation under way

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._attempt.step = state.global_step
        self._tokens_logged = int(state.num_input_tokens_seen)
        self._training(state)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._step_began = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._step_seconds += time.monotonic() - self._step_began
        self._attempt.step = state.global_step
        if control.should_evaluate:
            self._emit(ev.Phase(name="evaluating"))
        elif control.should_save:
            self._emit(ev.Phase(name="saving", detail="checkpoint"))

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        logs = logs or {}
        if "loss" not in logs:  # the figures of an evaluation, or of the whole run
            return
        figures = {name: logs.get(name) for name in ("loss", "learning_rate", "grad_norm")}
        tokens = int(state.num_input_tokens_seen)
        fresh, self._tokens_logged = tokens - self._tokens_logged, tokens
        seconds, self._step_seconds = self._step_seconds, 0.0
        self._emit(
            ev.Metrics(
                step=state.global_step,
                epoch=state.epoch,
                tokens=tokens,
                tokens_per_second=round(fresh / seconds, 1) if seconds > 0 else None,
                not_finite=tuple(n for n, value in figures.items() if value is not None and not math.isfinite(value)),
                loss=ev.finite(figures["loss"]),
                learning_rate=ev.finite(figures["learning_rate"]),
                grad_norm=ev.finite(figures["grad_norm"]),
            )
        )
        self._report_memory(state.global_step)

    def on_prediction_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        eval_dataloader: Any = None,
        **kwargs: Any,
    ) -> None:
        now = time.monotonic()
        self._batches += 1
        if now - self._told_at > LEAST_SECONDS:
            self._told_at = now
            self._emit(ev.Phase(name="evaluating", done=self._batches, total=len(eval_dataloader), unit="batches"))

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        model: Any = None,
        processing_class: Any = None,
        **kwargs: Any,
    ) -> None:
        metrics = metrics or {}
        self._batches = 0
        self._emit(
            ev.Eval(
                step=state.global_step,
                eval_loss=ev.finite(metrics.get("eval_loss")),
                epoch=state.epoch,
                seconds=metrics.get("eval_runtime"),
            )
        )
        self._emit(
            ev.Sample(
                step=state.global_step,
                prompt=self._question.prompt,
                text=answer(model, processing_class, self._question, bf16=args.bf16, fp16=args.fp16),
                reference=self._question.reference,
            )
        )
        if control.should_save:
            self._emit(ev.Phase(name="saving", detail="checkpoint"))
        else:
            self._training(state)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        run = self._attempt.run
        folder = run.checkpoints / f"{checkpoints.PREFIX}{state.global_step}"
        if checkpoints.is_whole(folder):
            self._emit(ev.Checkpoint(step=state.global_step, path=str(folder.relative_to(run.path))))
        else:
            self._emit(ev.Warned(message=f"The checkpoint of step {state.global_step} is not whole on disk."))
        self._training(state)

    def _training(self, state: TrainerState) -> None:
        if state.global_step < state.max_steps:
            self._emit(ev.Phase(name="training", done=state.global_step, total=state.max_steps, unit="steps"))

    def _report_memory(self, step: int) -> None:
        now = time.monotonic()
        if now - self._read_at < LEAST_SECONDS:
            return
        self._read_at = now
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
    """Ends the loop after the step in which a stop was asked for, with a checkpoint."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if self._attempt.stop.level and state.global_step < state.max_steps:
            self._attempt.events.emit(ev.Stopping(step=state.global_step))
            control.should_evaluate = False
            control.should_save = control.should_training_stop = True
        return control


def answer(model: Any, tokenizer: Any, question: Question, *, bf16: bool, fp16: bool) -> str:
    """The greedy answer. It draws nothing from the random state, so training goes on as if it had not been asked."""
    from unsloth import FastLanguageModel

    if question.text:
        inputs = tokenizer(question.text, return_tensors="pt").to(model.device)
    else:
        inputs = tokenizer.apply_chat_template(
            question.messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(model.device)
    dtype = torch.bfloat16 if bf16 else torch.float16
    FastLanguageModel.for_inference(model)
    try:
        with torch.inference_mode(), torch.autocast(model.device.type, dtype, enabled=bf16 or fp16):
            # Without the cache: on a GPU Unsloth's cached decoding of a 4-bit model that is being trained answered
            # other words than the model itself and than the chat later on (docs/measurements.md).
            output = model.generate(**inputs, max_new_tokens=question.max_new_tokens, do_sample=False, use_cache=False)
    finally:
        FastLanguageModel.for_training(model)
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
