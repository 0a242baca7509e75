"""The state of a run, as rebuilt from its events: one pure function, `reduce`. Widgets draw it and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from codex_tui.core.series import Series
from training.contract import events as ev

Status = Literal[
    "preparing", "training", "evaluating", "saving", "stopping", "stopped", "done", "failed", "lost"
]
ENDED: frozenset[str] = frozenset({"stopped", "done", "failed", "lost"})


@dataclass
class RunState:
    """Times are Unix seconds of the trainer's clock."""

    status: Status = "preparing"
    attempt: int = 0
    phase: ev.Phase | None = None
    resolved: ev.Resolved | None = None
    step: int = 0
    last: ev.Metrics | None = None
    losses: Series = field(default_factory=Series)  # x: step, y: loss; columns time and tokens beside it
    evals: list[ev.Eval] = field(default_factory=list)
    samples: list[ev.Sample] = field(default_factory=list)
    memory: ev.Memory | None = None
    gpu: ev.Gpu | None = None
    checkpoints: list[ev.Checkpoint] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    failure: ev.Failed | None = None
    started_at: float | None = None
    last_event_at: float | None = None
    ended_at: float | None = None
    missing_events: int = 0  # gaps in seq
    damaged_lines: int = 0
