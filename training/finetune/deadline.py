"""Ends a run within its time limit, with the learning rate at its end and the adapter on the disk."""

# ruff: noqa: ARG002  transformers calls every callback with the same arguments, used or not

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from training.contract import events as ev
from training.contract.profile import Profile
from training.dataset.split import choose_eval_steps, choose_save_steps
from training.finetune import clock
from training.finetune.attempt import Attempt
from training.finetune.fit import Fit
from training.finetune.schedule import Schedule
from training.finetune.time_limit import TimeLimit

if TYPE_CHECKING:
    from training.finetune.trainer import Trainer

FORWARD_SHARE = 1 / 3  # of the time of a training step, which also goes backward
BYTES_PER_PARAMETER = 12  # of a checkpoint: the weight and the two averages of the optimizer
SLOW_DISK = 1e8  # bytes a second
PLACES = choose_eval_steps, choose_save_steps
MOVED = 1.3  # evaluations and checkpoints get other places if the steps between two of them change by this factor


class Deadline(TrainerCallback):
    """Fits the run to `limit` after each step, and ends it.

    It must be called before Reporter, which reports the last step. The adapter is saved before the last evaluation,
    whose duration may be unknown, and again after it. Without a limit it changes nothing; but a run that was fitted in
    an earlier attempt, whose limit was lifted, takes all of its planned steps again. Of several ranks, rank 0 measures
    and decides for all.
    """

    def __init__(
        self,
        attempt: Attempt,
        profile: Profile,
        limit: TimeLimit,
        trainer: Trainer,
        resolved: ev.Resolved,
        save_adapter: Callable[[], object],
    ) -> None:
        self._attempt, self._profile, self._limit = attempt, profile, limit
        self._fit = trainer.fit = _make_fit(profile, resolved)
        self._trainer, self._resolved, self._save_adapter = trainer, resolved, save_adapter
        self._evaluates = bool(resolved.eval_steps or resolved.book_steps)
        self._step_ended_at: float | None = None
        self._has_evaluated = self._is_plain = False  # whether the time since the last step is a step's alone

    @property
    def has_shortened_run(self) -> bool:
        """Whether the run has fewer steps than planned."""
        return self._fit.schedule.total < self._fit.schedule.planned

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._fit.restore(state.stateful_callbacks)
        state.max_steps = self._fit.schedule.total
        if self._limit.is_set:
            args.eval_on_start = False  # there may be no time for it
        if self._limit.is_set or self._fit.schedule.is_fitted:
            self._report(state)

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._step_ended_at is None:
            self._step_ended_at, self._is_plain = clock.read_awake(), True
        elif not self._is_plain:
            seconds = clock.read_awake() - self._step_ended_at
            saving = self._trainer.save_seconds
            if saving is not None:
                self._fit.timing.add_checkpoint(saving)
            if self._has_evaluated:
                self._fit.timing.add_evaluation(max(0.0, seconds - (saving or 0.0)))
            self._step_ended_at, self._is_plain = clock.read_awake(), True

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        ranks, is_fitted = self._attempt.ranks, self._limit.is_set or self._fit.schedule.is_fitted
        if ranks.is_main:  # whose clock decides
            self._decide(args, state, control)
        if is_fitted:
            fit = self._fit.schedule, state.max_steps, state.eval_steps, state.save_steps
            self._fit.schedule, state.max_steps, state.eval_steps, state.save_steps = ranks.share(fit)

    def _decide(self, args: TrainingArguments, state: TrainerState, control: TrainerControl) -> None:
        now, step = clock.read_awake(), state.global_step
        if self._step_ended_at is not None:
            self._fit.timing.add_step(now - self._step_ended_at)
        seconds_left = self._limit.compute_seconds_left()
        if self._limit.is_set or self._fit.schedule.is_fitted:
            eval_steps = state.eval_steps if self._evaluates else 0
            if self._fit.refit(step, seconds_left, eval_steps, state.save_steps):
                state.max_steps = self._fit.schedule.total
                self._place_evaluations(state)
                self._report(state)
            if self._limit.is_set and step >= state.max_steps and not self._attempt.stop.level:
                self._end(args, state, control, seconds_left)
        self._fit.keep(state.stateful_callbacks)
        self._trainer.save_seconds = None
        self._has_evaluated = control.should_evaluate or (self._evaluates and step % state.eval_steps == 0)
        self._is_plain = not (control.should_save or self._has_evaluated)
        self._step_ended_at = now

    def _end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, seconds_left: float) -> None:
        """End the run with this step. Saves the adapter at once, while there is time for that in any case."""
        control.should_training_stop = control.should_save = True
        control.should_evaluate = args.eval_strategy != "no"
        self._attempt.step = state.global_step
        if self._trainer.is_sharded:  # rank 0 can't save the adapter alone: it is saved after this step
            control.should_evaluate, self._attempt.out_of_time = False, True
            return
        if not self._fit.has_time_to_evaluate(state.global_step, seconds_left):
            control.should_evaluate = False
            self._attempt.out_of_time = True
        self._save_adapter()

    def _place_evaluations(self, state: TrainerState) -> None:
        """Place evaluations and checkpoints as in a run of that many steps, where the profile leaves it to the trainer:
        a run that is fitted to a tenth of its steps would have none before its end."""
        eval_steps, save_steps = (choose(self._profile, self._fit.schedule.total) for choose in PLACES)
        if not 1 / MOVED < eval_steps / state.eval_steps < MOVED:
            state.eval_steps = eval_steps
        if not 1 / MOVED < save_steps / state.save_steps < MOVED:
            state.save_steps = save_steps

    def _report(self, state: TrainerState) -> None:
        total, resolved = self._fit.schedule.total, self._resolved
        left = self._limit.compute_seconds_left()
        self._attempt.events.emit(
            ev.Fitted(
                total_steps=total,
                planned_steps=self._fit.schedule.planned,
                deadline=round(clock.read_unix() + left, 3) if self._limit.is_set else None,
                rows=round(total * resolved.train_rows / max(1, resolved.steps_per_epoch)),
                eval_steps=state.eval_steps if resolved.eval_steps else 0,
                save_steps=state.save_steps,
                book_steps=state.eval_steps if resolved.book_steps else 0,
            )
        )


def _make_fit(profile: Profile, resolved: ev.Resolved) -> Fit:
    """Create the fit of a run to its time, with estimates for what is not measured before it happens."""
    rows_per_step = max(1.0, resolved.train_rows / max(1, resolved.steps_per_epoch))
    return Fit(
        Schedule.plan(resolved.total_steps, profile.training.warmup_steps),
        evaluation_steps=FORWARD_SHARE * resolved.eval_rows / rows_per_step,
        checkpoint_seconds=1.0 + BYTES_PER_PARAMETER * resolved.trainable_parameters / SLOW_DISK,
    )
