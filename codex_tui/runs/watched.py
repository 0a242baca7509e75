"""A run as a viewer sees it: the state from its events, and facts that are not in the events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from training.contract import events as ev
from training.history.state import RunState, Status

Liveness = Literal["starting", "alive", "ending", "held", "ended", "lost"]
"""starting: the process of a new attempt runs and has written no event yet. alive: the process of the last attempt
runs. ending: it has written its last event; it or the run's keeper still lives, and the keeper decides what is next.
held: no trainer runs, and the keeper waits to start the next attempt. ended: the processes are gone, and the trainer
has written its last event. lost: the processes are gone without a last event."""

ShownStatus = Literal[Status, "lost"]
"""The status that people and JSON see."""

HELD: frozenset[ShownStatus] = frozenset(get_args(ev.HeldState))
ENDED: frozenset[ShownStatus] = frozenset({"stopped", "done", "failed", "lost"})


@dataclass(frozen=True)
class Leftovers:
    """The checkpoint, the adapter and the newest judgement of an ended run. `broken` and `judged` may hold text from
    outside: clean them before they are shown."""

    resume_step: int | None = None  # step of the last whole checkpoint, 0 for none; None: no resume is possible
    has_adapter: bool = False
    broken: str = ""  # one sentence: why no resume is possible (the folder or config.json is gone)
    judged: str = ""  # the newest judgement in one line


@dataclass(frozen=True)
class WatchedRun:
    """One run at one time. Only `state` changes: the follower adds events to it.

    `lost_reason` and `log_tail` come from a log: clean them before they are shown.
    """

    state: RunState = field(default_factory=RunState)
    liveness: Liveness = "alive"
    silent_seconds: int = 0  # since the last event of a running process; rounded, 0 below 30 seconds
    lost_reason: str = ""  # one sentence: how a lost run ended
    log_tail: tuple[str, ...] = ()  # the last lines of a lost run's trainer.log
    leftovers: Leftovers = field(default_factory=Leftovers)  # empty while the run has not ended
    damaged_lines: int = 0
    sampled: bool = False  # `state` comes from a sample of the events, because reading them all takes a second

    @property
    def status(self) -> ShownStatus:
        if self.liveness in ("starting", "lost"):
            return "preparing" if self.liveness == "starting" else "lost"
        if self.liveness == "ending" and (self.state.held or self.state.failure):
            return "stopping"  # the process still holds its memory, or the keeper may start another one
        return self.state.status

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def held(self) -> ev.Held | None:
        """Why no trainer runs, and what ends that. None unless the keeper waits to start the next attempt."""
        return self.state.held if self.status in HELD else None

    @property
    def phase(self) -> ev.Phase | None:
        """The phase of the last attempt. None before its first event, and while the run is held."""
        return None if self.liveness == "starting" or self.held else self.state.phase

    @property
    def reason(self) -> str:
        """One sentence: why the run failed, stopped, was lost or is held. "" while it runs and when it is done."""
        if self.liveness == "lost":
            return self.lost_reason
        return self.state.reason if self.ended or self.held else ""

    @property
    def missing_events(self) -> int:
        return 0 if self.sampled else self.state.missing_events  # a sample skips events on purpose
