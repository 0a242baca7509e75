"""Callbacks that keep the ranks of a run in step. Every decision to stop, save or evaluate is made by all of them.

A callback on any rank may decide in `on_step_end` or `on_evaluate` by setting `control`, as with one process. It must
be added before `Agreement`, which makes the decision the same on every rank. A callback may take as long as it likes
in any method: the other ranks wait for it in `WaitForAll`, and not inside of NCCL, which gives up after a while.
"""

# ruff: noqa: ARG002  transformers calls every callback with the same arguments, used or not

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.finetune.attempt import Attempt


class Agreement(TrainerCallback):
    """Makes the decisions of all ranks the same, in one reduction a step: all stop or save if any would, and evaluate
    if rank 0 would."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        control.should_log |= state.global_step >= state.max_steps  # whatever logging_steps is
        self._agree(control)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._agree(control)

    def _agree(self, control: TrainerControl) -> None:
        stop = self._attempt.stop
        stops, ends, saves, evaluates, logs = self._attempt.ranks.agree(
            bool(stop.level),
            control.should_training_stop,
            control.should_save,
            control.should_evaluate and self._attempt.ranks.is_main,
            control.should_log,
        )
        if stops and not stop.level:
            stop.level = "save"
        control.should_training_stop, control.should_save, control.should_log = ends, saves, logs
        control.should_evaluate = evaluates


class WaitForAll(TrainerCallback):
    """Waits until all ranks have called all callbacks before it. It must be the last one."""

    def __init__(self, attempt: Attempt) -> None:
        self._ranks = attempt.ranks

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._ranks.barrier()

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._ranks.barrier()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._ranks.barrier()

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._ranks.barrier()

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._ranks.barrier()
