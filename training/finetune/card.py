"""Collects the facts of the adapter's card from the trainer, which knows them before the run has ended."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from training.contract import events as ev
from training.contract.config import RunConfig
from training.contract.model_card import Results, make_model_card

if TYPE_CHECKING:
    from transformers import TrainerState


def make_card(
    run: str, config: RunConfig, state: TrainerState, resolved: ev.Resolved, *, stopped: bool, adapter_step: int | None
) -> str:
    """Return the card of the adapter that is saved now. `run` is the name of the run.

    `adapter_step`: see `training.contract.events.Done`.
    """
    losses = [(entry["step"], entry["loss"]) for entry in state.log_history if "loss" in entry]
    evals = [(entry["step"], entry["eval_loss"]) for entry in state.log_history if "eval_loss" in entry]
    results = Results(
        "stopped" if stopped else "done",
        state.global_step,
        state.max_steps,
        loss=next((pair for pair in reversed(losses) if math.isfinite(pair[1])), None),
        evals=[pair for pair in evals if math.isfinite(pair[1])],
        adapter_step=adapter_step,
        device=resolved.device,
        trained_parameters=resolved.trainable_parameters,
    )
    return make_model_card("", run, run, config, results)
