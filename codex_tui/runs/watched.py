"""A run as a viewer sees it: the state from its events, and facts that are not in the events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from codex_tui.runs.engine_reason import describe_next, describe_no_answer, describe_wait
from training.contract import events as ev
from training.contract.engine import EngineRecord
from training.history.state import RunState, Status

Liveness = Literal["starting", "alive", "ending", "held", "waiting", "unreachable", "ended", "lost"]
"""starting: the process of a new attempt runs and has written no event yet. alive: the process of the last attempt
runs. ending: it has written its last event; it or the run's keeper still lives, and the keeper decides what is next.
held: no trainer runs, and the keeper waits to start the next attempt. waiting: the engine that has the run has not
begun it, or begins it again later. unreachable: that engine does not answer, so the run may be training. ended: the
processes are gone, and the trainer has written its last event. lost: the processes are gone without a last event."""

ShownStatus = Literal[Status, "unreachable", "lost"]
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

    The sentences, `log_tail`, `engine` and `place` have text from outside: clean it before it is shown.
    """

    state: RunState = field(default_factory=RunState)
    liveness: Liveness = "alive"
    silent_seconds: int = 0  # since the last event of a running process; rounded, 0 below 30 seconds
    lost_reason: str = ""  # one sentence: how a lost run ended
    log_tail: tuple[str, ...] = ()  # the last lines of a lost run's trainer.log
    leftovers: Leftovers = field(default_factory=Leftovers)  # empty while the run has not ended
    damaged_lines: int = 0
    engine: EngineRecord | None = None  # where the run was sent; None for a run that was started on its machine
    place: str = ""  # the other machine or cluster that trains or trained it; "" for this machine
    sampled: bool = False  # `state` comes from a sample of the events, because reading them all takes a second

    @property
    def status(self) -> ShownStatus:
        if self.liveness == "starting":
            return "preparing"
        if self.liveness in ("waiting", "unreachable", "lost"):
            return self.liveness
        if self.liveness == "ending" and (self.state.held or self.state.failure):
            return "stopping"  # the process still holds its memory, or the keeper may start another one
        return self.state.status

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def is_left_to_engine(self) -> bool:
        """Whether its engine has not begun the run, or does not answer: only the engine knows what comes next."""
        return self.liveness in ("waiting", "unreachable")

    @property
    def works(self) -> bool:
        """Whether a trainer is known to work now. Otherwise figures such as the ETA are old or mean nothing."""
        return not (self.ended or self.held or self.is_left_to_engine)

    @property
    def held(self) -> ev.Held | None:
        """Why no trainer runs, and what ends that. None unless the keeper waits to start the next attempt. A run that
        its engine has not begun has no keeper: see `reason`."""
        return self.state.held if self.status in HELD and self.liveness != "waiting" else None

    @property
    def phase(self) -> ev.Phase | None:
        """What the trainer does now. None before its first event, and while no trainer is known to work."""
        return self.state.phase if self.works and self.liveness != "starting" else None

    @property
    def reason(self) -> str:
        """One sentence: why the run failed, stopped, was lost, is held or waits, or why nobody knows whether it runs.
        "" while it runs and when it is done."""
        if self.liveness == "lost":
            return self.lost_reason
        if self.engine and self.liveness == "waiting":
            cause = f"{self.state.held.reason} " if self.state.held else ""
            return f"{cause}{describe_wait(self.engine)}"
        if self.engine and self.liveness == "unreachable":
            return describe_no_answer(self.engine)
        return self.state.reason if self.ended or self.held else ""

    @property
    def ends(self) -> str:
        """One sentence: what ends a hold or a wait, or what is known while the engine does not answer; "" otherwise."""
        if self.engine and self.is_left_to_engine:
            return describe_next(self.engine, self.state)
        return self.held.ends if self.held else ""

    @property
    def missing_events(self) -> int:
        return 0 if self.sampled else self.state.missing_events  # a sample skips events on purpose
