"""Describes the result of a run that is done, in short sentences."""

from __future__ import annotations

from math import isfinite

from codex_tui.base.text import format_duration
from training.history.state import RunState, compute_elapsed


def describe_time(state: RunState) -> str:
    """Return a sentence such as "Done in 9:28."."""
    elapsed = compute_elapsed(state)
    return "Done." if elapsed is None else f"Done in {format_duration(elapsed)}."


def describe_losses(state: RunState) -> str:
    """Return a sentence about the evaluation losses, or about the training losses if there was no evaluation.

    Example: "Eval loss 0.2836 → 0.1885, best 0.1804 at step 225 (worse since)."
    """
    evals = [(event.eval_loss, event.step) for event in state.evals if event.eval_loss is not None]
    if not evals:
        smooth = [loss for loss in state.losses.smooth if isfinite(loss)]
        return f"Loss {smooth[0]:.4f} → {smooth[-1]:.4f}, without an evaluation." if smooth else ""
    (best, step), (last, _) = min(evals), evals[-1]
    if len(evals) == 1:
        return f"Eval loss {last:.4f}."
    change = f"Eval loss {evals[0][0]:.4f} → {last:.4f}"
    return f"{change}, the best." if last == best else f"{change}, best {best:.4f} at step {step:,} (worse since)."
