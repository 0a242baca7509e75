"""Fits the learning rate to a number of steps that changes while the run trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

SHRINK = 0.02  # the run is made shorter if it would last longer by this share of its remaining steps
GROW = 0.05  # it is made longer if there is room for more steps than this share
MIN_GROWTH = 5  # steps
MANY_STEPS = 80  # near the end, a run is made longer only if so many more fit, because its first steps were slow
MIN_STEPS_TO_GROW = 20  # remaining steps. Near the end the learning rate is so low that more steps teach little


class Schedule(msgspec.Struct):
    """Where a run is on the curve of its learning rate, and the step at which it reaches the end of the curve.

    The curve is the one of the planned run, over its `planned` steps. A run that takes fewer steps passes it faster:
    from the `position` that it has at step `anchor`, it moves in equal parts to the end of the curve, at step `total`.
    A refit changes only how fast it moves from here on. So the learning rate never jumps, it reaches its end at the
    last step, and it depends on the refits alone: two steps of different duration move it equally, and a resume that
    knows these four numbers continues exactly. (A rate computed from the time itself would change with the duration of
    each step.) Until the first refit the position is the step, so a run that fits anyway has the planned rates, bit for
    bit.

    The rate rises during the warmup as configured. Only a run with less than twice the steps of its warmup begins to
    fall halfway, from the rate that it has reached by then: the share `peak` of the highest one.
    """

    planned: int
    warmup: int
    total: int
    anchor: int = 0
    position: float | None = None  # at step `anchor`; None while no refit has changed the curve
    peak: float = 1.0

    @classmethod
    def plan(cls, planned: int, warmup: int) -> Schedule:
        return cls(planned, warmup, planned)

    @property
    def is_fitted(self) -> bool:
        """Whether a refit has changed the planned curve."""
        return self.position is not None

    def locate(self, step: int) -> float:
        """Return the position on the planned curve at `step`."""
        if self.position is None:
            return step
        share = (step - self.anchor) / max(1, self.total - self.anchor)
        return self.position + min(1.0, max(0.0, share)) * (self.planned - self.position)

    def scale(self, step: int, curve: Callable[[float], float]) -> float:
        """Return the factor of the learning rate after `step` steps. `curve` gives that of the planned run."""
        if self.position is None or step < self.anchor:  # before the anchor, the rate rises as planned
            return curve(step)
        return self.peak * curve(self.locate(step))

    def is_due(self, step: int, fitting: int) -> bool:
        """Whether a refit is worth it, if `fitting` steps fit now. Small changes wait, so that the speed of a few steps
        changes nothing."""
        remaining = self.total - step
        if fitting < self.total:
            return self.total - fitting > SHRINK * remaining
        has_room = remaining >= MIN_STEPS_TO_GROW or fitting - step >= MANY_STEPS
        return fitting - self.total > max(GROW * remaining, MIN_GROWTH) and has_room

    def refit(self, step: int, total: int) -> None:
        """Reach the end of the curve at step `total`. The run has taken `step` steps."""
        if self.position is not None and step >= self.anchor:  # the rate falls already
            self.position, self.anchor = self.locate(step), step
        elif total == self.planned and step < self.warmup:  # all steps fit again, and nothing has changed yet
            self.position, self.anchor, self.peak = None, 0, 1.0
        else:
            self.anchor = max(step, min(self.warmup, total // 2))
            self.position = float(max(self.anchor, self.warmup))
            self.peak = min(1.0, self.anchor / self.warmup) if self.warmup else 1.0
        self.total = total

    def to_builtins(self) -> dict[str, Any]:
        return msgspec.structs.asdict(self)

    @classmethod
    def from_builtins(cls, values: Mapping[str, Any]) -> Schedule:
        """Raises ValueError."""
        return msgspec.convert(dict(values), cls)
