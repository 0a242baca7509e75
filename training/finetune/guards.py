"""Callbacks that end or pause a run when going on would do harm: a loss that is lost, an evaluation that gets no
better, a card that is too hot."""

# ruff: noqa: ARG002  the arguments are those that transformers.TrainerCallback gives

from __future__ import annotations

import math
import statistics
import time
from collections import deque
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.contract import events as ev
from training.contract.failures import TrainingFailure
from training.finetune import checkpoints
from training.finetune.attempt import Attempt
from training.finetune.gpu import Card

FIRST, LAST = 10, 100  # logged losses: at the start, and those that say what is usual
EXPLODED = 10.0  # times the usual loss; and twice what it ever was at the start, which a single odd row is not
COOLER = 8.0  # °C below the limit, where a paused run goes on
COOL_SECONDS = 20.0  # that it has to stay there: a chip cools in seconds, what cools it does not
SETTLED_SECONDS = 300.0  # without getting any cooler: where it is warm, it may never be as cool as that
LOOK_SECONDS = 1.0


class LossWatch(TrainerCallback):
    """Ends the run after `most` logged steps in a row whose loss is no number, or has exploded. Nothing is saved from
    the first of them on, so that the last good checkpoint stays the last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._good: deque[float] = deque(maxlen=LAST)
        self._highest = 0.0
        self._seen = 0
        self._bad: list[int] = []

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not self._is_bad(loss):
            self._bad.clear()
            self._good.append(loss)
            self._seen += 1
            if self._seen <= FIRST:
                self._highest = max(self._highest, loss)
            return
        self._bad.append(state.global_step)
        control.should_save = control.should_evaluate = False
        if len(self._bad) >= self._most:
            raise TrainingFailure("nan_loss", self._what(loss))

    def _is_bad(self, loss: float) -> bool:
        if not math.isfinite(loss):
            return True
        return self._seen >= FIRST and loss > max(EXPLODED * statistics.median(self._good), 2 * self._highest)

    def _what(self, loss: float) -> str:
        first, last = self._bad[0], self._bad[-1]
        where = f"at step {first}" if first == last else f"from step {first} to step {last}"
        if not math.isfinite(loss):
            return f"The loss was no longer a number {where}."
        return f"The loss exploded {where}: {loss:.3g}, where {statistics.median(self._good):.3g} is usual."


class StopEarly(TrainerCallback):
    """Ends the run after `patience` evaluations in a row without a lower loss. Each best one is saved."""

    def __init__(self, attempt: Attempt, patience: int) -> None:
        self._attempt, self._patience = attempt, patience

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        steps = [entry["step"] for entry in state.log_history if "eval_loss" in entry]
        best = checkpoints.best_step(state.log_history)
        if best == state.global_step:
            control.should_save = True
        since = sum(1 for step in steps if best is not None and step > best)
        if since >= self._patience and state.global_step < state.max_steps:
            message = (
                f"No evaluation was better than that of step {best} for {since} in a row: the run ends here, as "
                f"evaluation.patience says, with the adapter of step {best}."
            )
            self._attempt.warn(message)
            control.should_save = control.should_training_stop = True


class CoolDown(TrainerCallback):
    """Above `limit` °C the run is saved and waits until the card has stayed `COOLER` °C below it for a while, or gets
    no cooler."""

    def __init__(self, attempt: Attempt, card: Card, limit: float) -> None:
        self._attempt, self._card, self._limit = attempt, card, limit
        self._looked_at = 0.0
        self._hot: float | None = None

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        temperature = self._card.read().temperature
        if temperature is not None and temperature >= self._limit and state.global_step < state.max_steps:
            self._hot = temperature
            control.should_save = True

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._hot is None:
            return
        goal = self._limit - COOLER
        message = (
            f"The card had {self._hot:.0f} °C at step {state.global_step}: saved, and paused until it stays at "
            f"{goal:.0f} °C (hardware.pause_above_celsius)."
        )
        self._attempt.warn(message)
        self._wait(goal, state)
        self._hot = None
        self._attempt.events.emit(
            ev.Phase(name="training", done=state.global_step, total=state.max_steps, unit="steps")
        )

    def _wait(self, goal: float, state: TrainerState) -> None:
        coolest, coolest_at = math.inf, time.monotonic()
        warm_at = time.monotonic()  # the last time that it was above `goal`
        while not self._attempt.stop.level:
            reading, now = self._card.read(), time.monotonic()
            temperature = reading.temperature
            if temperature is None:  # a card that tells nothing holds nobody up
                return
            if temperature > goal:
                warm_at = now
            if temperature < coolest:
                coolest, coolest_at = temperature, now
            if now - warm_at >= COOL_SECONDS or (temperature < self._limit and now - coolest_at >= SETTLED_SECONDS):
                return
            self._attempt.events.emit(reading)
            detail = f"{temperature:.0f} °C, goes on at {goal:.0f}"
            self._attempt.events.emit(
                ev.Phase(name="cooling", done=state.global_step, total=state.max_steps, unit="steps", detail=detail)
            )
            time.sleep(LOOK_SECONDS)
