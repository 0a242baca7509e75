"""The curves of a run beside its loss: learning rate, gradient norm, speed, GPU memory and temperature.

They are read from the events only when someone looks at them, so that a run of a million steps opens quickly.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Literal, get_args

from training.contract import events as ev
from training.contract.run_directory import RunDirectory
from training.history.series import Series
from training.history.state import RunState, reduce
from training.history.tailer import Tailer

CurveName = Literal["learning rate", "gradient norm", "tokens/s", "VRAM", "temperature"]
CURVE_NAMES: tuple[CurveName, ...] = get_args(CurveName)
Point = tuple[int, float, float, int]  # step, value, seconds of training, tokens


class Curves:
    """Call `poll` to read new events. `series` has the curves; one without points is in no event of the run.

    Each series stores its values in `losses`. `complete` is True once the history has been read.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._tailer = Tailer(run.events)
        self._reset()
        self.complete = False

    def _reset(self) -> None:
        self._state = RunState()
        self.series: dict[CurveName, Series] = {name: Series() for name in CURVE_NAMES}
        self._new: dict[CurveName, dict[int, Point]] = defaultdict(dict)  # by step: the last value of a step counts

    def poll(self, budget_seconds: float) -> bool:
        """Read new events for about `budget_seconds`. Returns True if a curve has new points."""
        deadline, has_read = time.monotonic() + budget_seconds, False
        for piece in self._tailer.slices():
            if piece.restarted:
                self._reset()
            for event in piece.events:
                self._add(event)
            self._flush()
            has_read = has_read or bool(piece.events)
            if time.monotonic() >= deadline:
                return has_read
        self.complete = True
        return has_read

    def _add(self, event: ev.Event) -> None:
        if isinstance(event, ev.Started):
            self._flush()
            for series in self.series.values():
                series.cut_after(event.resume_step)
        reduce(self._state, event)
        match event:
            case ev.Metrics():
                self._add_value("learning rate", event.learning_rate)
                self._add_value("gradient norm", event.grad_norm)
                self._add_value("tokens/s", event.tokens_per_second)
            case ev.Memory():
                self._add_value("VRAM", event.device_mib or event.reserved_mib)
            case ev.Gpu():
                self._add_value("VRAM", event.used_mib)
                self._add_value("temperature", event.temperature)

    def _add_value(self, name: CurveName, value: float | None) -> None:
        losses = self._state.losses
        if value is not None and losses:
            step = losses.steps[-1]
            self._new[name][step] = (step, value, losses.times[-1], losses.tokens[-1])

    def _flush(self) -> None:
        for name, points in self._new.items():
            if points:
                steps, values, times, tokens = map(list, zip(*points.values(), strict=True))
                self.series[name].extend(steps, values, times, tokens)
                points.clear()
