"""How long the last run of a model took to its first step."""

from __future__ import annotations

import msgspec
import pytest
from support.config_file import read_config, write_config
from support.fake_runs import make_run

from codex_tui.runs.loading_time import find_last_loading_time
from training.contract import events as ev
from training.contract.run_directory import RunDirectory

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
    assert find_last_loading_time(now) == 41.0
    assert find_last_loading_time(make("first", "gemma", 6.0)) is None


def test_a_resumed_run_has_its_own_first_attempt() -> None:
    make("newer", "llama", 9.0, *loads(80))
    run = make("now", "llama", 1.0, *loads(12), ev.Started(attempt=2, pid=2, time=2000.0))
    assert find_last_loading_time(run) == 12.0


def test_a_damaged_file_is_passed_over() -> None:
    make("good", "llama", 1.0, *loads(33))
    damaged = make("bad", "llama", 2.0)
    damaged.events.write_bytes(b"\xff\x00{{{\n[[[[\n")
    assert find_last_loading_time(make("now", "llama", 3.0)) == 33.0
