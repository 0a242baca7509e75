"""Tests that every view of a run says if a newer Codex TUI wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.config_file import read_config, write_config
from support.fake_runs import as_json, make_run

from codex_tui.base.errors import BadInput
from codex_tui.cli import main
from codex_tui.data.target import Target
from codex_tui.runs.follower import snapshot
from training.contract import events as ev
from training.contract.run_directory import RunDirectory
from training.history.reduce import reduce, reduce_all
from training.history.state import RunState
from training.history.tailer import Tailer, decode

pytestmark = pytest.mark.usefixtures("empty_home")

STARTED, METRICS = ev.Started(attempt=1, pid=1), ev.Metrics(step=7, loss=2.0)
CONFIG = (
    "zombies-1 was written by a newer Codex TUI (config version 2, this one knows 1). Update: pip install -U codex-tui."
)
EVENTS = CONFIG.replace("config version", "events version")


def newer_config(last: ev.Event, **options: Any) -> RunDirectory:
    run = make_run("zombies-1", STARTED, METRICS, last, **options)
    write_config(run, read_config(run) | {"version": 2, "profile": ["another", "layout"]})
    return run


def newer_events(last: ev.Event, **options: Any) -> RunDirectory:
    run = make_run("zombies-1", STARTED, METRICS, last, **options)
    run.events.write_bytes(run.events.read_bytes().replace(b'"v":1', b'"v":2'))
    return run


@pytest.mark.parametrize("last", [ev.Done(step=7), ev.Stopped(step=7), ev.Phase(name="training")])
@pytest.mark.parametrize(("make", "sentence"), [(newer_config, CONFIG), (newer_events, EVENTS)])
def test_the_list_of_runs_says_it(capsys: pytest.CaptureFixture[str], last: ev.Event, make: Any, sentence: str) -> None:
    make(last)
    assert main(["runs"]) == 0
    assert capsys.readouterr().out.count(sentence) == 1
    assert main(["runs", "--json"]) == 0
    [summary] = as_json(capsys)  # type: ignore[misc]
    assert (summary["step"], summary["reason"].count(sentence)) == (7, 1)


@pytest.mark.parametrize(("make", "sentence"), [(newer_config, CONFIG), (newer_events, EVENTS)])
def test_the_list_says_it_of_a_run_that_trains(capsys: pytest.CaptureFixture[str], make: Any, sentence: str) -> None:
    make(ev.Phase(name="training"), alive=True)
    assert main(["runs", "--json"]) == 0
    [summary] = as_json(capsys)  # type: ignore[misc]
    assert (summary["state"], summary["reason"]) == ("training", sentence)


@pytest.mark.parametrize(("last", "code"), [(ev.Done(step=7), 0), (ev.Stopped(step=7), 1)])
@pytest.mark.parametrize(("make", "sentence"), [(newer_config, CONFIG), (newer_events, EVENTS)])
def test_a_viewer_without_a_screen_says_it_once(
    capsys: pytest.CaptureFixture[str], make: Any, sentence: str, last: ev.Event, code: int
) -> None:
    make(last)
    assert main(["attach", "zombies-1", "--headless"]) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines.count(sentence) == 1
    assert lines.index(sentence) == 1
    assert any("loss 2.0000" in line for line in lines)
    assert any("codex-tui" in line for line in lines[2:]) == (make is newer_events)  # the next steps


def test_a_run_with_a_newer_config_is_not_used(capsys: pytest.CaptureFixture[str]) -> None:
    run = newer_config(ev.Stopped(step=7))
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    before = run.config.read_bytes()
    for command in (["resume", "zombies-1", "--headless"], ["chat", "zombies-1", "--prompt", "Hi"],
                    ["push", "zombies-1", "me/waves"]):  # fmt: skip
        assert main(command) == 2
        assert CONFIG.replace(". Update", ".\nUpdate") in capsys.readouterr().err
    with pytest.raises(BadInput, match="config version 2"):
        Target.from_run(run)
    assert run.config.read_bytes() == before


def test_events_of_a_newer_layout_are_not_damaged_lines() -> None:
    run = newer_events(ev.Done(step=7))
    with run.events.open("a") as file:
        file.write(json.dumps({"type": "metrics", "v": 2, "seq": 3, "time": 1.0, "step": {"now": 8}}) + "\n")
        file.write(json.dumps({"type": "metrics", "v": 1, "seq": 4, "time": 1.0, "step": {"now": 8}}) + "\n")
    watched = snapshot(run)
    assert (watched.state.version, watched.damaged_lines, watched.status, watched.missing_events) == (2, 1, "done", 0)


def test_a_newer_trainer_whose_first_event_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run("zombies-1")
    run.events.write_text('{"type":"started","v":2,"seq":0,"time":1.0,"process":{"pid":5}}\n')
    assert main(["runs"]) == 0
    assert EVENTS in capsys.readouterr().out


def test_both_ways_of_reading_find_the_version() -> None:
    run = newer_events(ev.Done(step=7))
    events = decode(run.events.read_bytes()).events
    one_by_one = RunState()
    for event in events:
        reduce(one_by_one, event)
    assert (one_by_one.version, reduce_all(RunState(), events).version) == (2, 2)
    points = [event for piece in Tailer(run.events, points=True).slices() for event in piece.events]
    assert reduce_all(RunState(), points).version == 2
