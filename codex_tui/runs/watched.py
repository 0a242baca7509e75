"""A run as a viewer sees it: the state from its events, and facts that are not in the events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from training.contract import events as ev
from training.history.state import RunState, Status

Liveness = Literal["starting", "alive", "ended", "lost"]
"""starting: the process of a new attempt runs and has written no event yet. alive: the process of the last attempt
runs. ended: the process is gone and has written its last event. lost: the process is gone without a last event."""

ShownStatus = Literal[Status, "lost"]
"""The status that people and JSON see."""

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
        if self.liveness == "lost":
            return "lost"
        return "preparing" if self.liveness == "starting" else self.state.status

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def phase(self) -> ev.Phase | None:
        """The phase of the last attempt. None before its first event."""
        return None if self.liveness == "starting" else self.state.phase

    @property
    def reason(self) -> str:
        """One sentence: why the run failed, stopped or was lost. "" while it runs and when it is done."""
        if self.liveness == "lost":
            return self.lost_reason
        return self.state.reason if self.ended else ""

    @property
    def missing_events(self) -> int:
        return 0 if self.sampled else self.state.missing_events  # a sample skips events on purpose
