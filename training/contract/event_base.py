"""What all events share: the base class, and the numbers that they may hold."""

from __future__ import annotations

import math
from typing import Annotated

import msgspec

VERSION = 1

Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]
"""The integers that a float holds exactly, so that a reader can keep them in any column of numbers."""

Finite = Annotated[float, msgspec.Meta(ge=-1e300, le=1e300)]
"""Numbers that can be added, compared and drawn: no result of that is infinite."""

Seconds = Annotated[float, msgspec.Meta(ge=-1e11, le=1e11)]
"""Unix seconds up to the year 5138, or a part of them: finite, and so is the difference of any two."""


class Event(msgspec.Struct, kw_only=True, tag_field="type", gc=False):
    """The base of every event. `seq` counts from 0 over all attempts of a run; a gap means lost lines."""

    v: int = VERSION
    seq: int = 0
    time: Seconds = 0.0


def finite_or_none(value: float | None) -> float | None:
    """Return `value`, or None if it is NaN or infinite, which JSON can't express."""
    return value if value is not None and math.isfinite(value) else None
