"""Decides whether a run is alive, ended or lost. The app, `codex-tui runs` and `--headless` all use this rule."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from codex_tui.runs.engine_reason import describe_place
from codex_tui.runs.watched import Liveness
from training.contract.config import ConfigError, RunConfig
from training.contract.engine import EngineRecord, EngineStatus, has_news
from training.contract.run_directory import RunDirectory
from training.history.state import RunState

LAUNCH_GRACE_SECONDS = 30.0
"""Seconds that a launched trainer has to write process.json: Python may have to be loaded from a slow disk."""


class TrainerProcess(NamedTuple):
    """The process of a run's newest attempt, as process.json and the kernel show it, and the run's keeper.

    `lives` is about the trainer. Until the keeper has started one, `attempt` is the one that it starts next."""

    lives: bool
    attempt: int = 0  # 0: there is no process.json
    newer_than_events: bool = False  # process.json or keeper.json was written after the last event
    is_kept: bool = False  # the keeper lives
    engine: EngineRecord | None = None  # where the run was sent: then no process of this machine was looked at
    engine_status: EngineStatus = "running"  # what is known now: an event may be newer than the engine's answer
    place: str = ""  # the other machine or cluster that has or had the run; "" for this machine

    def has_no_event_in(self, state: RunState) -> bool:
        """Whether this attempt has no event in `state` yet."""
        if self.engine:
            return self.newer_than_events or self.attempt > state.attempt
        return self.attempt > state.attempt and self.newer_than_events


def find_process(run: RunDirectory) -> TrainerProcess:
    """Look for the process of `run`. Call this before you read the events: if the process is gone, no event can come
    after them."""
    if record := run.read_engine():
        return _find_on_engine(run, record)
    # The keeper first: it starts a trainer before it ends, so one of the two is seen.
    keeper, trainer = run.read_keeper(), run.read_process()
    if trainer is None and keeper is None:
        return TrainerProcess(_is_just_launched(run))
    attempt = max(identity.attempt for identity in (trainer, keeper) if identity)
    newer = max(_read_mtime_ns(run.process), _read_mtime_ns(run.keeper)) > _read_mtime_ns(run.events)
    is_kept = keeper is not None and run.keeps(keeper)
    place = next((identity.host for identity in (keeper, trainer) if identity and identity.is_elsewhere()), "")
    return TrainerProcess(trainer is not None and run.trains(trainer), attempt, newer, is_kept, place=place)


def decide_liveness(process: TrainerProcess, state: RunState, *, sampled: bool = False) -> Liveness:
    """Decide from the processes and the events. In a `sampled` state the start of the newest attempt may be missing."""
    if process.engine:
        return _decide_on_engine(process, process.engine, state, sampled=sampled)
    has_ended = state.ended or state.held is not None
    if process.lives or process.is_kept:
        resumed = process.lives and has_ended and process.attempt > state.attempt
        if resumed or process.has_no_event_in(state):
            return "starting"
        if has_ended and process.is_kept:
            return "held" if state.held and not process.lives else "ending"
        return "alive"
    if not state.ended:
        return "lost"
    return "lost" if process.has_no_event_in(state) and not sampled else "ended"


def _find_on_engine(run: RunDirectory, record: EngineRecord) -> TrainerProcess:
    status = "running" if has_news(record, run.events) else record.status
    try:
        newer = run.events.stat().st_size <= record.offset
    except OSError:
        newer = True
    place = describe_place(record)
    return TrainerProcess(status == "running", record.attempt, newer, status != "gone", record, status, place)


def _decide_on_engine(process: TrainerProcess, record: EngineRecord, state: RunState, *, sampled: bool) -> Liveness:
    """An end in the events is the truth, whatever the engine says. Without one, the engine decides."""
    is_newer = process.newer_than_events or (record.attempt > state.attempt and not sampled)
    status = process.engine_status
    if state.ended and not is_newer:
        return "ending" if state.failure and status == "running" else "ended"  # its keeper may heal it
    if status == "gone":
        return "lost"
    if status == "waiting" and record.is_held and state.held and state.held.state == "parked":
        return "held"
    if status != "running":
        return status
    if is_newer:
        return "starting"
    return "held" if state.held else "alive"


def _is_just_launched(run: RunDirectory) -> bool:
    try:
        created = RunConfig.read(run.config).created
        since = run.config.stat().st_mtime if created is None else created
    except (OSError, ConfigError):
        return False
    return abs(time.time() - since) < LAUNCH_GRACE_SECONDS  # abs: the clock may have been set back


def _read_mtime_ns(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_mtime_ns
    return 0
