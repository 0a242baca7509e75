"""Runs with real keepers whose trainers only log, for tests of the queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from codex_tui import launcher
from codex_tui.engines import local
from codex_tui.launch_plan import make_plan
from codex_tui.runs.follower import snapshot
from codex_tui.runs.queue import list_places
from support.fake_interpreter import fake_interpreter, name_in_settings
from training.contract.run_directory import RunDirectory

PATIENCE = 60.0
ENDLESS = 100_000  # steps


@contextmanager
def queue_home(folder: Path, steps: int = ENDLESS, seconds: float = 0.02) -> Iterator[Path]:
    """Write a profile, and settings that name a keeper whose trainers log `steps`. Yields the profile's path. All runs
    are ended afterwards. CODEX_TUI_HOME must be a folder of the test."""
    name_in_settings(fake_interpreter(folder, "queued_keeper", str(steps), str(seconds)))
    path = folder / "small.toml"
    path.write_text('[model]\nname = "demo:llama"\n[hardware]\ndevice = "cpu"\n[dataset]\npath = "rows.jsonl"\n')
    (folder / "rows.jsonl").write_text('{"instruction": "Who?", "response": "Rook."}\n' * 9)
    yield path
    for child in local._children:
        child.kill()
        child.wait()
    for place in list_places():
        place.run.request_stop()
    until(lambda: not list_places())


def launch(profile: Path, *names: str, state: str = "training") -> list[RunDirectory]:
    """Launch runs of these names: the first trains, or is in `state`; the others are queued. Waits until all say so."""
    runs = [launcher.launch(make_plan(profile, name=name), wait=True) for name in names]
    until(lambda: [status(run) for run in runs] == [state, *["queued"] * (len(runs) - 1)])
    return runs


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def status(run: RunDirectory) -> str:
    return snapshot(run).status


def places() -> list[str]:
    return [f"{place.ticket.run} {place.ticket.state}" for place in list_places()]
