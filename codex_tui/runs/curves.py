"""The curves of a run beside its loss: learning rate, gradient norm, speed, GPU memory and temperature.

They are read only when someone looks at them, so that a run of a million steps opens quickly.
"""

from __future__ import annotations

import math
import time

from training.contract.run_directory import RunDirectory
from training.history.columns import HistoryCheck, read_history
from training.history.reduce import reduce
from training.history.series import Series
from training.history.state import RunState
from training.history.tailer import Tailer
from training.history.values import CURVE_NAMES, CurveName, Values

BATCH = 8192  # points that are drawn before the clock is looked at


class Curves:
    """Call `poll` to read new events. `series` has the curves; one without points is in no event of the run.

    Each series stores its values in `losses`. `complete` is True once the history has been read.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._tailer = Tailer(run.events)
        self._history_check: HistoryCheck | None = None
        self._has_begun = False
        self._reset()
        self.complete = False

    def _reset(self) -> None:
        self._state, self._values = RunState(), Values()
        self._drawn = 0  # how many points of the loss curve have their values in `series`
        self.series: dict[CurveName, Series] = {name: Series() for name in CURVE_NAMES}

    def poll(self, budget_seconds: float) -> bool:
        """Read new events for about `budget_seconds`. Returns True if a curve may have new points."""
        deadline = time.monotonic() + budget_seconds
        if not self._begin(budget_seconds):
            return False
        has_read = self._drawn < len(self._state.losses)  # those of RUN/history
        if has_read and not self._draw(deadline):
            return True
        for piece in self._tailer.slices():
            if piece.restarted:
                self._reset()
            for event in piece.events:
                reduce(self._state, event)
                self._values.add(event, len(self._state.losses))
            self._draw(math.inf)
            has_read = has_read or bool(piece.events)
            if time.monotonic() >= deadline:
                return has_read
        self.complete = True
        return has_read

    def _begin(self, budget_seconds: float) -> bool:
        """Begin with RUN/history, if it is of this run's events. Returns False while that is not known yet."""
        if not self._has_begun:
            self._has_begun = True
            if history := read_history(self._run.history, self._run.events, values=True):
                self._history_check = HistoryCheck(self._run.events, history)
        if check := self._history_check:
            if not check.has_ended(budget_seconds):
                return False
            if check.events:
                self._state, self._values = check.history.state, check.history.values
                self._tailer.skip(check.history.offset, check.events)
            self._history_check = None
        return True

    def _draw(self, deadline: float) -> bool:
        """Put values into `series` until `deadline`. Returns True if it has all."""
        losses = self._state.losses
        start = max(0, min(self._drawn, losses.kept) - 1)  # the last point may have got another value
        for series in self.series.values():
            series.cut_after(losses.steps[start] - 1 if start < len(losses) else -1)
        while start < len(losses):
            end = min(start + BATCH, len(losses))
            for name, series in self.series.items():
                self._extend(series, name, start, end)
            self._drawn = losses.kept = start = end
            if time.monotonic() >= deadline:
                break
        return start == len(losses)

    def _extend(self, series: Series, name: CurveName, start: int, end: int) -> None:
        losses, values = self._state.losses, self._values.columns[name][start:end]
        rows = (losses.steps[start:end], values, losses.times[start:end], losses.tokens[start:end])
        if not math.isfinite(sum(values)):
            having = [row for row in zip(*rows, strict=True) if not math.isnan(row[1])]
            if not having:
                return
            rows = tuple(zip(*having, strict=True))  # type: ignore[assignment]
        series.extend(*map(list, rows))  # type: ignore[arg-type]
        series.catch_up()
