"""Events that only the app decodes: the short form of metrics, and types that a newer trainer wrote."""

from __future__ import annotations

from training.contract import events as ev


class Unknown(ev.Event):
    """An event of a type that only a newer app knows. It counts for `seq` and as a sign of life, no more."""


class Point(ev.Event, tag="metrics"):
    """What the curve needs of a `Metrics`: a million of these decode in two thirds of the time."""

    step: ev.Count
    loss: float | None = None
    tokens: ev.Count = 0
