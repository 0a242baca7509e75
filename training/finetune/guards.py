"""Callbacks that end or pause a run before it does harm: the loss is NaN or explodes, evaluations stop improving, the
GPU is too hot."""

# ruff: noqa: ARG002  transformers calls every callback with the same arguments, used or not

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.contract import events as ev
from training.contract.failures import TrainingFailure
from training.contract.tell import tell
from training.finetune import checkpoints
from training.finetune.attempt import Attempt
from training.finetune.gpu import Card

START_LOSSES = 10  # number of logged losses that count as the start of training
RECENT_LOSSES = 100  # number of logged losses whose median is the usual loss
EXPLOSION_FACTOR = 10.0  # a loss is bad above this many times the usual one
START_FACTOR = 2.0  # and above this many times the highest loss at the start, so that one odd row ends no run
COOLER = 8.0  # a paused run continues at this many °C below the limit
COOL_SECONDS = 20.0  # and only after this time there: the chip cools in seconds, its cooler takes longer
SETTLED_SECONDS = 300.0  # it also continues after this time without cooling further, as in a warm room
POLL_SECONDS = 1.0


class LossWatch(TrainerCallback):
    """Ends the run after `max_bad_steps` logged steps in a row with a bad loss: NaN, infinite, or exploded.

    From the first bad step on nothing is saved, so that the newest checkpoint is a good one.
    """

    def __init__(self, max_bad_steps: int) -> None:
        self._max_bad_steps = max_bad_steps
        self._good_losses: deque[float] = deque(maxlen=RECENT_LOSSES)
        self._good_count = 0
        self._highest_at_start = 0.0
        self._bad_steps: list[int] = []

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        loss = logs.get("loss")
        if loss is None:
            return
        if not self._is_bad(loss):
            self._bad_steps.clear()
            self._good_losses.append(loss)
            self._good_count += 1
            if self._good_count <= START_LOSSES:
                self._highest_at_start = max(self._highest_at_start, loss)
            return
        self._bad_steps.append(state.global_step)
        control.should_save = control.should_evaluate = False
        if len(self._bad_steps) >= self._max_bad_steps:
            raise TrainingFailure("nan_loss", self._describe(loss))

    def _is_bad(self, loss: float) -> bool:
        if not math.isfinite(loss):
            return True
        if self._good_count < START_LOSSES:
            return False
        usual = statistics.median(self._good_losses)
        return loss > max(EXPLOSION_FACTOR * usual, START_FACTOR * self._highest_at_start)

    def _describe(self, loss: float) -> str:
        first, last = self._bad_steps[0], self._bad_steps[-1]
        where = f"at step {first}" if first == last else f"from step {first} to step {last}"
        if not math.isfinite(loss):
            return f"The loss was NaN or infinite {where}."
        usual = statistics.median(self._good_losses)
        return f"The loss exploded {where}: {loss:.3g}, where {usual:.3g} is usual."


class StopEarly(TrainerCallback):
    """Ends the run after `patience` evaluations in a row without a lower loss. Saves a checkpoint at each new best."""

    def __init__(self, attempt: Attempt, patience: int) -> None:
        self._attempt, self._patience = attempt, patience

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        eval_steps = [entry["step"] for entry in state.log_history if "eval_loss" in entry]
        best = checkpoints.find_best_step(state.log_history)
        if best == state.global_step:
            control.should_save = True
        worse = sum(1 for step in eval_steps if best is not None and step > best)
        if worse >= self._patience and state.global_step < state.max_steps:
            self._attempt.warn(
                f"The last {worse} evaluations were no better than that of step {best}. The run ends here "
                f"(evaluation.patience) and keeps the adapter of step {best}."
            )
            control.should_save = control.should_training_stop = True


class CoolDown(TrainerCallback):
    """When the GPU reaches `limit` °C, saves a checkpoint and pauses until it has stayed COOLER °C below the limit for
    a while, or cools no further."""

    def __init__(self, attempt: Attempt, card: Card, limit: float) -> None:
        self._attempt, self._card, self._limit = attempt, card, limit
        self._polled_at = 0.0
        self._is_told = False  # whether the person is told of this pause
        self._too_hot: float | None = None  # the temperature that asks for a pause before the next step

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if time.monotonic() - self._polled_at < POLL_SECONDS:
            return
        self._polled_at = time.monotonic()
        temperature = self._card.read_hottest().temperature
        if temperature is not None and temperature >= self._limit and state.global_step < state.max_steps:
            self._too_hot = temperature
            control.should_save = True

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._too_hot is None:
            return
        goal = self._limit - COOLER
        self._attempt.warn(
            f"The GPU reached {self._too_hot:.0f} °C at step {state.global_step}. That saves the run, and pauses it "
            f"until the GPU stays at {goal:.0f} °C (hardware.pause_above_celsius)."
        )
        self._is_told = False
        self._wait(goal, state)
        self._too_hot = None
        self._attempt.events.emit(
            ev.Phase(name="training", done=state.global_step, total=state.max_steps, unit="steps")
        )

    def _wait(self, goal: float, state: TrainerState) -> None:
        lowest, lowest_at = math.inf, time.monotonic()
        warm_at = time.monotonic()  # when the temperature was last above `goal`
        while not self._attempt.stop.level:
            reading, now = self._card.read_hottest(), time.monotonic()
            temperature = reading.temperature
            if temperature is None:  # don't wait for a temperature that NVML no longer gives
                return
            if temperature > goal:
                warm_at = now
            if temperature < lowest:
                lowest, lowest_at = temperature, now
            if now - warm_at >= COOL_SECONDS or (temperature < self._limit and now - lowest_at >= SETTLED_SECONDS):
                return
            self._attempt.events.emit(reading)
            detail = f"{temperature:.0f} °C, continues at {goal:.0f} °C"
            self._attempt.events.emit(
                ev.Phase(name="cooling", done=state.global_step, total=state.max_steps, unit="steps", detail=detail)
            )
            if not self._is_told:
                self._is_told = True
                tell(self._attempt.run)
            time.sleep(POLL_SECONDS)
