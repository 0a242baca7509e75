"""Ends an attempt whose time limit leaves no time for a step, without loading the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.contract import events as ev
from training.contract import files
from training.contract.checkpoints import STATE
from training.contract.failures import TrainingFailure
from training.finetune import adapter, checkpoints
from training.finetune.attempt import Attempt
from training.finetune.card import make_card
from training.finetune.fit import Fit
from training.finetune.time_limit import TimeLimit
from training.job.job import Job


def end_without_step(attempt: Attempt, job: Job, limit: TimeLimit) -> ev.Event | None:
    """Return the attempt's last event if `limit` leaves no time for a step, else None.

    A run that was parked or interrupted past its deadline is done with the steps that it has, and its adapter is that
    of its last checkpoint. Raises TrainingFailure if it has no checkpoint.
    """
    if not limit.is_set:
        return None
    seconds_left, checkpoint = limit.compute_seconds_left(), attempt.resume_from
    if checkpoint is None:
        if seconds_left > 0:
            return None
        raise TrainingFailure(
            "bad_config",
            f"{limit.describe()} came before the first step of the run.",
            # Without the run's name, which may be another one later, and on the machine of the person.
            "Give it more time, as in: codex-tui resume RUN --until +8h",
        )
    state = _read_state(checkpoint)
    fit = Fit.from_checkpoint(state)
    if fit.has_time_for_a_step(attempt.step, seconds_left):
        return None
    attempt.events.emit(ev.Phase(name="saving", detail="adapter"))
    planned, history, adapter_step = fit.schedule.planned, state.get("log_history", []), None
    best_step = checkpoints.find_best_step(history) if job.profile.evaluation.patience else None
    best = checkpoint.with_name(f"{checkpoints.PREFIX}{best_step}")
    if best_step not in (None, attempt.step) and checkpoints.is_whole(best):
        checkpoint, adapter_step = best, best_step
    run = attempt.locate_run()
    card = make_card(run.name, job.config, attempt.step, planned, history, adapter_step=adapter_step)
    adapter.copy(run.checkpoints / checkpoint.name, run.adapter, card)
    return ev.Done(step=attempt.step, adapter_step=adapter_step, reason=describe_end(limit, attempt.step, planned))


def describe_end(limit: TimeLimit, step: int, planned: int) -> str:
    """Say in a sentence that the limit ended the run."""
    return f"{limit.describe()} ended it after {step:,} of {planned:,} planned steps."


def _read_state(checkpoint: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(files.read(checkpoint / STATE))  # Python's own, because NaN may be in it
    return state
