"""Says how a run is fitted to its time limit."""

from __future__ import annotations

from typing import Any

from codex_tui.base.deadline import format_deadline
from training.contract import events as ev
from training.history.state import RunState


def describe_fit(fitted: ev.Fitted, now: float) -> str:
    """Describe the fit, as in "2,900 of 4,017 steps fit until 07:00 (72 %)". `now` is the time from which a deadline
    within a day needs no date."""
    until = f" until {format_deadline(fitted.deadline, now)}" if fitted.deadline is not None else ""
    total, planned = fitted.total_steps, fitted.planned_steps
    if total >= planned:
        return f"all {planned:,} steps fit{until}"
    return f"{total:,} of {planned:,} steps fit{until} ({100 * total / planned:.0f} %)"


def count_epochs(state: RunState) -> float | None:
    """Count the epochs of a run that is fitted to fewer steps than planned. Returns None for other runs."""
    fitted, resolved = state.fitted, state.resolved
    if fitted is None or resolved is None or fitted.total_steps >= fitted.planned_steps or not resolved.steps_per_epoch:
        return None
    return fitted.total_steps / resolved.steps_per_epoch


def make_fit_json(fitted: ev.Fitted) -> dict[str, Any]:
    return {
        "total_steps": fitted.total_steps,
        "planned_steps": fitted.planned_steps,
        "deadline": fitted.deadline,
        "rows": fitted.rows,
    }
