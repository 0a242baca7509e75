"""Kills the owners of queued runs, keepers and trainers, at random, and checks that each run still trains once."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

from codex_tui import launcher
from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from codex_tui.engines import local
from codex_tui.runs.follower import snapshot
from codex_tui.runs.queue import list_places, move_queued
from support.programs.queued_keeper import ON_CARD
from support.training_runs import events
from training.contract.card_queue import CardQueue
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.keeper.run_config import read_config
from training.memory.visible_gpu import name_cards, read_devices

PATIENCE = 900.0  # seconds that nothing may change
MOVES = 0.2  # how often a queued run is moved, for each look at the runs


@dataclass
class Trial:
    """What was done to the runs, and every rule of the queue that was broken."""

    runs: list[RunDirectory]
    kills: Counter[str] = field(default_factory=Counter)
    starts: Counter[str] = field(default_factory=Counter)  # by launch and resume
    moves: int = 0
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.cards = {run.name: {*name_cards(*read_devices(read_config(run).profile))} for run in self.runs}

    def shares_card(self, one: str, other: str) -> bool:
        return bool(self.cards[one] & self.cards[other])

    def describe(self) -> str:
        resumes = sum(self.starts.values()) - len(self.runs)
        attempts = sum(len(events(run, "started")) for run in self.runs)
        return (
            f"{len(self.runs)} runs, {sum(self.kills.values())} kills {dict(self.kills)}, {resumes} resumes, "
            f"{self.moves} moves, {attempts} attempts, {len(self.problems)} problems"
        )


class _Attempt(NamedTuple):
    begin: float
    end: float  # of its last event
    run: str
    number: int


def kill_owners(trial: Trial, rng: random.Random, kills: int, pause: float) -> None:
    """Kill keepers and trainers of the runs, about `pause` seconds after each other, and resume what was lost, until
    `kills` were tried and all runs are done."""
    (locations.runs_home() / ON_CARD).mkdir(exist_ok=True)
    trial.starts.update(run.name for run in trial.runs)
    deadline = time.monotonic() + PATIENCE
    done: set[str] = set()
    while len(done) < len(trial.runs):
        time.sleep(rng.uniform(0, 2 * pause))
        _watch(trial)
        if sum(trial.kills.values()) < kills:
            _kill_one(trial, rng)
        if rng.random() < MOVES:
            _move_one(trial, rng)
        for run in trial.runs:
            if run.name in done or run.is_live():
                continue
            if snapshot(run).status == "done":
                done.add(run.name)
                deadline = time.monotonic() + PATIENCE
            else:
                launcher.resume(run, wait=True)
                trial.starts[run.name] += 1
        if time.monotonic() > deadline:
            trial.problems.append(f"only {sorted(done)} are done after {PATIENCE:.0f} s")
            break
    for child in local._children:
        child.wait(30)
    _check_end(trial)


def _watch(trial: Trial) -> None:
    training = [run.name for run in trial.runs if (identity := run.read_process()) and identity.is_alive()]
    for one, other in combinations(training, 2):
        if trial.shares_card(one, other):
            trial.problems.append(f"{one} and {other} train at once")


def _kill_one(trial: Trial, rng: random.Random) -> None:
    owners = [owner for run in trial.runs for owner in _list_owners(run)]
    if not owners:
        return
    kind, identities = rng.choice(owners)
    for identity in identities:
        with suppress(ProcessLookupError):
            os.kill(identity.pid, signal.SIGKILL)
    while any(identity.is_alive() for identity in identities):
        time.sleep(0.001)
    trial.kills[kind] += 1


def _move_one(trial: Trial, rng: random.Random) -> None:
    with suppress(BadInput):  # it is not queued
        move_queued(rng.choice(trial.runs), rng.choice(["up", "down", "first", "last"]))
        trial.moves += 1


def _list_owners(run: RunDirectory) -> Iterator[tuple[str, list[ProcessIdentity]]]:
    keeper, trainer = run.read_keeper(), run.read_process()
    has_keeper, has_trainer = keeper is not None and keeper.is_alive(), trainer is not None and trainer.is_alive()
    if keeper and has_keeper:
        yield ("keeper of a run that trains" if has_trainer else "keeper of a queued run"), [keeper]
    if trainer and has_trainer:
        yield "trainer", [trainer]
        if keeper and has_keeper:
            yield "keeper and trainer", [keeper, trainer]


def _check_end(trial: Trial) -> None:
    attempts: list[_Attempt] = []
    for run in trial.runs:
        own = list(_list_attempts(run))
        attempts += own
        numbers = [attempt.number for attempt in own]
        if len(set(numbers)) < len(numbers):
            trial.problems.append(f"{run.name} started an attempt twice: {numbers}")
        if len(own) > trial.starts[run.name]:
            trial.problems.append(f"{run.name} was started {trial.starts[run.name]} times and has attempts {numbers}")
        state = snapshot(run).state
        if state.step != state.total_steps or state.missing_events:
            trial.problems.append(f"{run.name} ended at {state.step} of {state.total_steps}")
    for before, after in combinations(sorted(attempts), 2):
        if after.begin < before.end and trial.shares_card(before.run, after.run):
            trial.problems.append(f"{after.run} began while {before.run} trained")
    if places := list_places():
        trial.problems.append(f"the queue is not empty: {places}")
    for queue in CardQueue.list_all(locations.runs_home()):
        if left := os.listdir(queue.folders[0]):  # noqa: PTH208
            trial.problems.append(f"tickets are left: {left}")


def _list_attempts(run: RunDirectory) -> Iterator[_Attempt]:
    """The attempts by their events, without those of the keeper, which writes while no trainer lives."""
    own = [event for event in events(run) if event["type"] not in ("held", "healed")]
    begins = [number for number, event in enumerate(own) if event["type"] == "started"]
    for begin, end in zip(begins, [*begins[1:], len(own)], strict=True):
        yield _Attempt(own[begin]["time"], own[end - 1]["time"], run.name, own[begin]["attempt"])
