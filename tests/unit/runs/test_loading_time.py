"""How long the last run of a model took to its first step."""

from __future__ import annotations

import msgspec
import pytest
from support.config_file import read_config, write_config
from support.engine_runs import put_on_box
from support.fake_runs import make_run

from codex_tui.runs.loading_time import StartTimes, estimate_loading_left, find_last_start
from codex_tui.runs.watched import WatchedRun
from training.contract import events as ev
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.history.reduce import reduce_all
from training.history.state import RunState

pytestmark = pytest.mark.usefixtures("empty_home")


def make(name: str, model: str, created: float, *events: ev.Event) -> RunDirectory:
    run = make_run(name)
    write_config(run, read_config(run) | {"created": created, "profile": {"model": {"name": model}}})
    run.events.write_bytes(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
    return run


def loads(seconds: float) -> list[ev.Event]:
    return [
        ev.Started(attempt=1, pid=1, time=100.0),
        ev.Phase(name="loading", time=101.0),
        ev.Phase(name="tokenising", time=100.0 + seconds - 2),
        ev.Phase(name="training", time=100.0 + seconds - 1),
        ev.Metrics(step=1, loss=2.0, time=100.0 + seconds),
        ev.Metrics(step=2, loss=2.0, time=900.0),
    ]


def test_the_newest_run_of_the_same_model_counts() -> None:
    make("older", "llama", 1.0, *loads(80))
    make("newer", "llama", 2.0, *loads(41))
    make("other", "qwen", 3.0, *loads(7))
    make(
        "failed", "llama", 4.0, ev.Started(attempt=1, pid=1, time=1.0), ev.Failed(kind="unknown", message="x", time=9.0)
    )
    now = make("now", "llama", 5.0, ev.Started(attempt=1, pid=1, time=1.0))
    assert find_last_start(now) == StartTimes(39.0, 41.0)
    assert find_last_start(make("first", "gemma", 6.0)) is None


def test_a_resumed_run_has_its_own_first_attempt() -> None:
    make("newer", "llama", 9.0, *loads(80))
    run = make("now", "llama", 1.0, *loads(12), ev.Started(attempt=2, pid=2, time=2000.0))
    assert find_last_start(run) == StartTimes(10.0, 12.0)


def test_a_damaged_file_is_passed_over() -> None:
    make("good", "llama", 1.0, *loads(33))
    damaged = make("bad", "llama", 2.0)
    damaged.events.write_bytes(b"\xff\x00{{{\n[[[[\n")
    assert find_last_start(make("now", "llama", 3.0)) == StartTimes(31.0, 33.0)


def test_only_a_run_of_the_same_machine_counts() -> None:
    box, elsewhere = make("box", "llama", 8.0, *loads(20)), make("elsewhere", "llama", 9.0, *loads(30))
    put_on_box(box, "gone")
    elsewhere.write_process(ProcessIdentity(7, 1.0, boot="another", host="other"))
    now, sent = make("now", "llama", 10.0), make("sent", "llama", 11.0)
    put_on_box(sent, "running")
    assert find_last_start(now) is None
    assert find_last_start(sent) == StartTimes(18.0, 20.0)


@pytest.mark.parametrize(
    ("attempt", "phase", "seconds", "left"),
    [
        (1, "loading", 16.0, 24.0),
        (2, "loading", 16.0, 24.0),
        (1, "loading", 41.0, None),
        (1, "tokenising", 16.0, None),
    ],
)
def test_the_time_left_is_that_of_the_last_start(
    attempt: int, phase: ev.PhaseName, seconds: float, left: float | None
) -> None:
    before = [*loads(9), ev.Stopped(step=2, time=901.0)] if attempt == 2 else []
    now = [
        ev.Started(attempt=attempt, pid=1, time=2000.0),
        ev.Phase(name=phase, time=2001.0),
        ev.Heartbeat(step=0, time=2000.0 + seconds),
    ]
    watched = WatchedRun(reduce_all(RunState(), [*before, *now]), "alive")
    assert estimate_loading_left(watched, StartTimes(40.0, 50.0)) == left
