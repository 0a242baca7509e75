"""The queue with real keepers, whose trainers only log: the owners die at random, and each run trains once."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.fake_interpreter import fake_interpreter, name_in_settings
from support.kill.queued import Trial, kill_owners

from codex_tui import launcher
from codex_tui.launch_plan import make_plan
from codex_tui.launch_series import plan_series
from codex_tui.profiles.sweep import parse_sweep
from codex_tui.runs.follower import snapshot
from codex_tui.runs.queue import list_places, move_queued
from training.contract.run_directory import RunDirectory

PATIENCE = 60.0


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    path = tmp_path / "small.toml"
    path.write_text('[model]\nname = "demo:llama"\n[hardware]\ndevice = "cpu"\n[dataset]\npath = "rows.jsonl"\n')
    (tmp_path / "rows.jsonl").write_text('{"instruction": "Who?", "response": "Rook."}\n')
    yield path
    for child in launcher._children:
        child.kill()
        child.wait()


def interpreter(folder: Path, steps: int, seconds: float) -> Path:
    python = fake_interpreter(folder, "queued_keeper", str(steps), str(seconds))
    name_in_settings(python)
    return python


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def status(run: RunDirectory) -> str:
    return snapshot(run).status


def names() -> list[str]:
    return [f"{place.ticket.run} {place.ticket.state}" for place in list_places()]


def test_owners_die_at_random_and_each_run_trains_once(profile: Path, tmp_path: Path) -> None:
    python = interpreter(tmp_path, 8, 0.03)
    series = plan_series([str(profile)], parse_sweep(["training.seed=1,2,3,4,5"]))
    trial = Trial([launcher.launch(plan, python, wait=True) for plan in series.plans])
    kill_owners(trial, random.Random(17), kills=8, pause=0.1)
    assert not trial.problems
    assert sum(trial.kills.values()) >= 5


def test_a_queued_run_says_why_it_waits_and_can_be_moved_stopped_and_resumed(profile: Path, tmp_path: Path) -> None:
    python = interpreter(tmp_path, 100_000, 0.02)
    runs = [launcher.launch(make_plan(profile, name=name), python, wait=True) for name in "abcd"]
    first, second, third, fourth = runs
    until(lambda: [status(run) for run in runs] == ["training", "queued", "queued", "queued"])
    assert names() == ["a training", "b queued", "c queued", "d queued"]
    assert snapshot(second).reason == "a trains on the CPU."
    assert snapshot(fourth).reason == "a trains on the CPU; 2 runs are before this one."
    assert move_queued(fourth, "first") == 1
    until(lambda: snapshot(fourth).reason == "a trains on the CPU.")
    second.request_stop()
    until(lambda: status(second) == "stopped")
    assert names() == ["a training", "d queued", "c queued"]
    first.request_stop()
    until(lambda: status(fourth) == "training")
    launcher.resume(second, wait=True)
    until(lambda: status(second) == "queued")
    assert names() == ["d training", "c queued", "b queued"]
    assert status(third) == "queued"
    for run in (second, third, fourth):
        run.request_stop()
    until(lambda: not names())
