"""Collects the facts of the adapter's card from the trainer, which knows them before the run has ended."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from training.contract.config import RunConfig
from training.contract.model_card import Results, make_model_card


def make_card(
    run: str,
    config: RunConfig,
    step: int,
    planned_steps: int,
    log_history: Sequence[Mapping[str, Any]],
    *,
    stopped: bool = False,
    adapter_step: int | None = None,
    device: str = "",
    trained_parameters: int | None = None,
) -> str:
    """Return the card of the adapter that is saved now, at `step`. `run` is the name of the run, `log_history` that of
    `transformers.TrainerState`.

    `adapter_step`: see `training.contract.events.Done`.
    """
    losses = [(entry["step"], entry["loss"]) for entry in log_history if "loss" in entry]
    evals = [(entry["step"], entry["eval_loss"]) for entry in log_history if "eval_loss" in entry]
    results = Results(
        "stopped" if stopped else "done",
        step,
        planned_steps,
        loss=next((pair for pair in reversed(losses) if math.isfinite(pair[1])), None),
        evals=[pair for pair in evals if math.isfinite(pair[1])],
        adapter_step=adapter_step,
        device=device,
        trained_parameters=trained_parameters,
    )
    return make_model_card("", run, run, config, results)
