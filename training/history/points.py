"""Events that only the app uses: a short form of metrics, and events that a newer trainer wrote."""

from __future__ import annotations

from training.contract import events as ev
from training.contract.event_base import Count, Finite


class Unknown(ev.Event):
    """An event that only a newer app understands: its type is unknown, or a newer version gave it other fields. Only
    its `seq`, its version and its time are used."""


class Point(ev.Event, tag="metrics"):
    """The fields of a `Metrics` that the curve needs. Decoding a million of these takes two thirds of the time."""

    step: Count
    loss: Finite | None = None
    tokens: Count = 0
