"""The progress of long work, as the work reports it. `commands/progress.py` prints it, the screens draw it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

JSON_VARIABLE = "CODEX_TUI_PROGRESS"  # with the value "json", progress is printed for a program that reads it
MIN_PACE_SECONDS = 2.0  # an estimate from fewer seconds of a step is a guess

Unit = Literal["bytes", "rows", "packages", "runs", "questions", "texts"]


@dataclass(frozen=True)
class Progress:
    """How far one step is. `total` is 0 where it is unknown. `seconds_left` is the work's own estimate, if it has one.

    `step` and `detail` may contain text from outside: clean them before they are shown.
    """

    step: str
    done: int = 0
    total: int = 0
    unit: Unit = "bytes"
    detail: str = ""
    seconds_left: float | None = None

    @property
    def fraction(self) -> float:
        return self.done / self.total if self.total else 0.0


OnProgress = Callable[[Progress], None]


def ignore_progress(_progress: Progress) -> None:
    """The `OnProgress` of a caller that shows no progress."""


class ProgressTracker:
    """The newest progress, how long its step has taken, and an estimate of how long the step will still take."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._start(progress)

    def update(self, progress: Progress) -> None:
        if progress.step != self.progress.step:
            self._start(progress)
        self.progress = progress

    def _start(self, progress: Progress) -> None:
        self._started = time.monotonic()
        self._first_done = progress.done  # work that an earlier try has done says nothing about the pace

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._started

    @property
    def seconds_left(self) -> float | None:
        """None where no honest estimate is possible."""
        now, elapsed = self.progress, self.elapsed
        if now.seconds_left is not None:
            return now.seconds_left
        if now.unit == "packages":  # their sizes differ too much for a pace
            return None
        advanced = now.done - self._first_done
        if not now.total or advanced <= 0 or elapsed < MIN_PACE_SECONDS:
            return None
        return max(0, now.total - now.done) * elapsed / advanced
