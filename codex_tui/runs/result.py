"""Describes the result of a run that is done, in short sentences."""

from __future__ import annotations

from math import isfinite

from codex_tui.base.text import format_duration, pluralize
from training.history.state import RunState, compute_elapsed


def describe_time(state: RunState) -> str:
    """Return a sentence such as "Done in 9:28."."""
    elapsed = compute_elapsed(state)
    return "Done." if elapsed is None else f"Done in {format_duration(elapsed)}."


def describe_evaluations(state: RunState) -> str:
    """Return sentences about the losses, and about the answers to the questions of the book if there is one."""
    return f"{describe_losses(state)} {describe_pass_rates(state)}".strip()


def describe_pass_rates(state: RunState) -> str:
    """Return a sentence such as "Passes 0 → 26 of 40 questions, the most."; "" if the run has no book."""
    if not state.pass_rates:
        return ""
    first, last = state.pass_rates[0], state.pass_rates[-1]
    if first is last:
        return f"Passes {last.passes} of {pluralize(last.questions, 'question')}."
    most = max(state.pass_rates, key=lambda one: one.rate)
    end = ", the most" if most.rate == last.rate else f", most {most.passes} at step {most.step:,}"
    return f"Passes {first.passes} → {last.passes} of {pluralize(last.questions, 'question')}{end}."


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
