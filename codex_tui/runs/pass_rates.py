"""Describes how many questions of its book a run passes, as its events tell it."""

from __future__ import annotations

from typing import Any

from training.contract import events as ev


def describe_passes(event: ev.PassRate) -> str:
    """Describe a pass rate: "26 of 40 (trained 24 of 24, unseen 2 of 16)"."""
    if not event.trained_questions or event.trained_questions == event.questions:
        return f"{event.passes} of {event.questions}"
    return f"{event.passes} of {event.questions} ({describe_trained(event)})"


def describe_trained(event: ev.PassRate) -> str:
    """Tell the questions that stand in the training rows from the others."""
    return (
        f"trained {event.trained_passes} of {event.trained_questions}, "
        f"unseen {event.unseen_passes} of {event.unseen_questions}"
    )


def make_json(event: ev.PassRate) -> dict[str, Any]:
    """Return what scripts get of a pass rate."""
    names = ("step", "passes", "questions", "trained_passes", "trained_questions", "book")
    return {**{name: getattr(event, name) for name in names}, "rate": round(event.rate, 4)}
