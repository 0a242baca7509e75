"""How the process of the first node records the end of an attempt that no rank has recorded."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from support.kept_runs import until
from support.training_runs import events

from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.run_directory import RunDirectory
from training.finetune.first_node import End

FAILED = ev.Failed(kind="unknown", message="Rank 1 (node n2, CPU) was killed (SIGKILL).")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "run")
    run.create()
    run.config.write_text("{}")
    return run


@pytest.fixture
def end(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> Iterator[End]:
    """Of an attempt whose ranks are gone."""
    handler = signal.signal(signal.SIGTERM, lambda *_: None)
    end = End(run)
    monkeypatch.setattr(end, "_kill_ranks", lambda: None)  # this process has other children
    yield end
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, handler)


def silence(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(end.others, "find_silent", lambda _: "n2")


def last(run: RunDirectory) -> tuple[str, Any]:
    event = events(run)[-1]
    return event["type"], event.get("message", event.get("step"))


def test_the_failure_of_a_rank_is_recorded_unless_rank_0_has_recorded_the_end(end: End, run: RunDirectory) -> None:
    EventWriter(run.events).emit(ev.Started(attempt=1, pid=1))
    assert end.record(FAILED) == 1
    assert last(run) == ("failed", FAILED.message)


def test_the_end_that_rank_0_has_recorded_stays(end: End, run: RunDirectory) -> None:
    writer = EventWriter(run.events)
    for event in (ev.Started(attempt=1, pid=1), ev.Stopped(step=7)):
        writer.emit(event)
    assert end.record(FAILED) == 0
    assert last(run) == ("stopped", 7)


def test_a_sigterm_before_the_ranks_have_recorded_anything_is_a_stop(end: End, run: RunDirectory) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert end.record(None) == 0
    assert last(run) == ("stopped", 0)


def test_ranks_that_end_without_a_reason_are_a_failure(end: End, run: RunDirectory) -> None:
    assert end.record(None) == 1
    assert last(run) == ("failed", "torchrun has ended without its ranks.")


@pytest.mark.parametrize(
    "ask",
    [lambda _: os.kill(os.getpid(), signal.SIGTERM), lambda run: run.request_stop("save")],
    ids=["sigterm", "stop"],
)
def test_a_silent_node_is_left_to_slurm_until_someone_asks_for_the_end(
    end: End, run: RunDirectory, monkeypatch: pytest.MonkeyPatch, ask: Callable[[RunDirectory], None]
) -> None:
    silence(end, monkeypatch)
    codes: list[int] = []
    thread = Thread(target=lambda: codes.append(end.record(FAILED)))
    thread.start()
    until(lambda: run.events.exists() and events(run))
    assert last(run)[0] == "warning" and "Node n2 does not answer" in last(run)[1]
    ask(run)
    thread.join()
    assert (codes, last(run)) == ([0], ("stopped", 0))


def test_a_silent_node_is_the_failure_if_slurm_does_nothing(
    end: End, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence(end, monkeypatch)
    monkeypatch.setattr("training.finetune.first_node.SLURM_SECONDS", 0.0)
    assert end.record(FAILED) == 1
    assert last(run) == ("failed", "Node n2 does not answer.")
