"""The state of a run, rebuilt from its events alone. Only `reduce` and `reduce_all` in `reduce.py` write to it.

Facts that a viewer finds without the events (is the trainer alive, what can be resumed) are in `watched.py`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from training.contract import events as ev
from training.contract.event_base import Seconds
from training.history.series import Series

Status = Literal[
    "preparing",
    "probing",
    "training",
    "answering",
    "cooling",
    "evaluating",
    "saving",
    "stopping",
    "stopped",
    "done",
    "failed",
    ev.HeldState,
]
ENDED: frozenset[str] = frozenset({"stopped", "done", "failed"})


@dataclass
class RunState:
    """Times are Unix seconds of the trainer's clock. The texts are raw: pass them through `clean` to show them."""

    status: Status = "preparing"
    reason: str = ""  # one sentence: why the run failed, stopped, is held, or was done before all planned steps
    version: int = ev.VERSION  # highest version of the events of all attempts
    pid: int = 0  # the process of the last attempt
    attempt: int = 0  # the number of the last attempt, 0 before the first
    phase: ev.Phase | None = None
    resolved: ev.Resolved | None = None  # with the numbers of steps of `fitted`
    fitted: ev.Fitted | None = None  # how the last attempt is fitted to its time limit; None without a limit
    step: int = 0
    last: ev.Metrics | None = None
    losses: Series = field(default_factory=Series)  # its times are seconds of training, nothing else
    evals: list[ev.Eval] = field(default_factory=list)
    samples: list[ev.Sample] = field(default_factory=list)
    pass_rates: list[ev.PassRate] = field(default_factory=list)
    memory: ev.Memory | None = None
    probe: ev.Probe | None = None  # the last probe
    gpu: ev.Gpu | None = None  # the first card of the run
    other_gpus: list[ev.Gpu] = field(default_factory=list)  # the last reading of each further card of the run
    gpu_history: deque[ev.Gpu] = field(default_factory=lambda: deque(maxlen=600))
    checkpoints: list[ev.Checkpoint] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failure: ev.Failed | None = None
    healed: list[ev.Healed] = field(default_factory=list)  # what the keeper changed after failures, and after hangs
    held: ev.Held | None = None  # while no trainer runs and the keeper waits to start the next attempt
    adapter_step: int | None = None  # of a run that is done: the step of the adapter, if it is not the last step
    started_at: Seconds | None = None  # the start of the first attempt
    last_event_at: Seconds | None = None
    ended_at: Seconds | None = None
    missing_events: int = 0  # how many numbers `seq` has skipped
    next_seq: int = 0
    resume_step: int = 0  # the step from which the last attempt continues
    paused: Seconds = 0.0  # the seconds between the attempts
    training_since: Seconds = 0.0  # the clock time at which the seconds of training are 0
    idle_since: Seconds | None = None  # the clock time at which the trainer stopped to take steps; None: it takes them

    @property
    def ended(self) -> bool:
        """Whether the last attempt has written its last event."""
        return self.status in ENDED

    @property
    def total_steps(self) -> int | None:
        return self.resolved.total_steps if self.resolved else None


def compute_elapsed(state: RunState) -> float | None:
    """Return the seconds that the trainer has worked, without the breaks between attempts. None before it started."""
    if state.started_at is None or state.last_event_at is None:
        return None
    return max(0.0, (state.ended_at or state.last_event_at) - state.started_at - state.paused)
