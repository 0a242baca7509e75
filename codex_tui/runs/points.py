"""Events that only the app decodes: the short form of metrics, and the events of a newer trainer."""

from __future__ import annotations

from training.contract import events as ev


class Unknown(ev.Event):
    """An event that only a newer app understands: of an unknown type, or of a newer version with other fields. It
    counts for `seq`, for the version and as a sign of life, no more."""


class Point(ev.Event, tag="metrics"):
    """What the curve needs of a `Metrics`: a million of these decode in two thirds of the time."""

    step: ev.Count
    loss: float | None = None
    tokens: ev.Count = 0
