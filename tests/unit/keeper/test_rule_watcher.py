"""A keeper parks its run by the rules and brings it back, over a made-up card, battery and clock."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from support import kept_runs
from support.kept_runs import until
from support.lending import BLENDER, TRAINER, World
from support.programs import PROGRAMS

from codex_tui.runs.follower import snapshot
from training.contract import events as ev
from training.contract.control import Request
from training.contract.power import Battery
from training.contract.run_directory import RunDirectory
from training.keeper import surroundings
from training.keeper.rule_watcher import LOOK_SECONDS, RuleWatcher
from training.keeper.run_config import read_config
from training.keeper.watchers import Moment

NO_CARD = {"error": "GpuIsLost"}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "world.json")


def make_run(folder: Path, *, actual: str = "cpu", **rules: Any) -> RunDirectory:
    profile = {"keeper": {"resume_after_minutes": 0.01} | rules}
    device = {"hardware": {"device": actual}}
    return kept_runs.make_run(folder / "run", profile=profile, actual=device, forecast_mib=2600.0)


def keep(run: RunDirectory, world: World) -> AbstractContextManager[subprocess.Popen[bytes]]:
    trainer = (sys.executable, PROGRAMS / "parking_trainer.py", "attempt", "100000")
    keeper = (sys.executable, PROGRAMS / "lending_keeper.py", run.path, world.path)
    return kept_runs.keep(run, *keeper, *trainer, start_new_session=True)


def until_status(run: RunDirectory, status: str) -> ev.Held | None:
    until(lambda: snapshot(run).status == status)
    return snapshot(run).held


def count_attempts(run: RunDirectory) -> int:
    process = run.read_process()
    return process.attempt if process else 0


def test_each_rule_parks_the_run_with_its_figures_and_lets_it_come_back(tmp_path: Path, world: World) -> None:
    run = make_run(tmp_path, park_above_others_mib=800, park_on_battery=True, park_above_celsius=80)
    calm = {"card": {"used": 10, "celsius": 60, "programs": []}, "battery": [False, 80]}
    troubles: list[tuple[dict[str, Any], str]] = [
        ({"card": {"programs": [TRAINER, BLENDER]}}, "blender holds 2,100 MiB of the card, more than 800 MiB"),
        ({"battery": [True, 74]}, "The machine runs on battery, at 74 %"),
        ({"card": {"celsius": 84}}, "The card has 84 °C, and the limit is 80 °C"),
    ]
    world.change(**calm)
    with keep(run, world):
        for attempt, (trouble, reason) in enumerate(troubles, 1):
            until_status(run, "training")
            assert count_attempts(run) == attempt
            world.change(**trouble)
            held = until_status(run, "parked")
            assert held is not None and held.reason.startswith(reason)
            until(lambda: (found := snapshot(run).held) and found.ends.startswith("It continues when"))
            world.change(**calm)
        until_status(run, "training")


def test_a_run_that_is_launched_outside_of_its_hours_waits_for_them(tmp_path: Path, world: World) -> None:
    start = datetime.fromisoformat("2026-11-28T22:30+00:00").timestamp()
    run = make_run(tmp_path, hours="23:00-07:00")
    world.change(time=start)
    with keep(run, world):
        held = until_status(run, "waiting")
        assert held == ev.Held(
            state="waiting", reason="It is 22:30, and the run trains from 23:00 to 07:00 (keeper.hours).",
            ends="It continues at 23:00.", until=start + 1800, seq=held.seq, time=held.time,
        )  # fmt: skip
        assert count_attempts(run) == 0
        world.change(time=start + 1801)
        until_status(run, "training")
        world.change(time=start + 8.5 * 3600)
        held = until_status(run, "waiting")
        assert held is not None and held.reason.startswith("It is 07:00")


def test_a_person_overrides_a_rule_and_no_rule_undoes_what_a_person_parked(tmp_path: Path, world: World) -> None:
    run = make_run(tmp_path, park_on_battery=True, resume_after_minutes=0)
    world.change(battery=[False, 80])
    with keep(run, world):
        until_status(run, "training")
        world.change(battery=[True, 74])
        until_status(run, "parked")
        run.write_request(Request("resume"))
        until(lambda: count_attempts(run) == 2)
        until_status(run, "training")
        before = snapshot(run).state.step
        until(lambda: snapshot(run).state.step > before + 60)  # twice as long as the rule needs to park it
        assert count_attempts(run) == 2
        world.change(battery=[False, 74])
        before = snapshot(run).state.step
        until(lambda: snapshot(run).state.step > before + 60)
        world.change(battery=[True, 73])
        until_status(run, "parked")  # the override ended when the laptop was plugged in
        world.change(battery=[False, 73])
        until_status(run, "training")
        run.request_stop("park", "Asked with L.")
        held = until_status(run, "parked")
        assert held is not None and held.ends == ev.BY_HAND
        for battery in ([True, 73], [False, 73]):
            world.change(battery=battery)
            size = run.events.stat().st_size
            time.sleep(0.5)  # nothing happens, for which nothing can be waited
            assert snapshot(run).status == "parked" and run.events.stat().st_size == size
        run.write_request(Request("resume"))
        until_status(run, "training")


def test_a_lent_card_comes_back_when_another_program_has_used_it(tmp_path: Path, world: World) -> None:
    run = make_run(tmp_path, resume_lent=True)
    world.change(card={"used": 10, "programs": []})
    with keep(run, world):
        until_status(run, "training")
        run.request_stop("park", "Asked with L.")
        until_status(run, "parked")
        until(lambda: (held := snapshot(run).held) and held.ends == ev.BY_HAND_OR_LEFT)
        time.sleep(0.5)  # nobody has used the card yet, so nothing happens, for which nothing can be waited
        assert snapshot(run).status == "parked" and count_attempts(run) == 1
        world.change(card={"used": 2500, "programs": [BLENDER]})
        time.sleep(0.5)
        assert snapshot(run).status == "parked"
        world.change(card={"used": 10, "programs": []})
        until(lambda: count_attempts(run) == 2)
        until_status(run, "training")


def test_a_run_comes_back_only_to_the_memory_that_it_needs(tmp_path: Path, world: World) -> None:
    run = make_run(tmp_path, park_above_others_mib=2000)
    world.change(card={"used": 2500, "programs": [BLENDER]})
    with keep(run, world):
        until_status(run, "parked")  # before the first attempt
        world.change(card={"used": 1700, "programs": [[1 << 22, "blender", 1700]]})
        until(lambda: (snapshot(run).held or ev.Held(state="parked", reason="")).reason.startswith("The run needs"))
        held = snapshot(run).held
        assert held is not None and held.reason == "The run needs 2,600 MiB of the card, and 2,396 MiB are free."
        world.change(card={"used": 1400, "programs": [[1 << 22, "blender", 1400]]})
        until_status(run, "training")


def test_a_resumed_run_waits_for_the_driver_and_comes_back_by_itself(tmp_path: Path, world: World) -> None:
    """Even a person can't override that: the trainer would take the CPU, without a word."""
    run = make_run(tmp_path, actual="cuda:0 (Made-up RTX 3050)")
    world.change(card=NO_CARD)
    with keep(run, world):
        held = until_status(run, "waiting")
        assert held is not None
        assert held.reason == "The card can't be used: the GPU has fallen off the bus: restart the machine."
        assert held.ends == "It continues when the driver answers."
        run.write_request(Request("resume"))
        until(lambda: run.read_request() is None)
        world.change(card={})
        until_status(run, "training")
        assert count_attempts(run) == 1


def test_a_laptop_that_slept_has_not_watched_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of the keeper may stand still meanwhile, as on Linux, or go on: the run comes back after the minutes in
    which the keeper looked."""
    run = make_run(tmp_path, resume_after_minutes=5, hours="23:00-07:00")
    clock = {"time": datetime.fromisoformat("2026-11-28T21:00+00:00").timestamp()}
    monkeypatch.setattr(surroundings, "read_time", lambda: clock["time"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    time.tzset()
    watcher, now = RuleWatcher(run, read_config(run)), 1000.0

    def look(seconds: float, slept: float = 0.0, counted: float = 0.0) -> ev.HeldState | None:
        nonlocal now
        clock["time"] += seconds + slept
        now += seconds + counted
        hold = watcher.look(Moment(run, now, 0.0, None, 1))
        return hold.state if hold else None

    assert [look(LOOK_SECONDS) for _ in range(7)] == ["waiting"] * 7
    assert look(LOOK_SECONDS, slept=2.5 * 3600) == "parked"  # the hours have begun, and the minutes now begin
    assert {look(LOOK_SECONDS) for _ in range(20)} == {"parked"}
    assert look(LOOK_SECONDS, slept=3600, counted=3600) == "parked"  # of these ten seconds twenty count at most
    assert [look(LOOK_SECONDS) for _ in range(8)] == [*["parked"] * 7, None]


def test_a_rule_that_holds_again_after_a_park_must_hold_as_long_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, park_on_battery=True)
    in_use = True
    monkeypatch.setattr(surroundings, "read_battery", lambda: Battery(in_use))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    watcher, now = RuleWatcher(run, read_config(run)), 1000.0

    def holds(trainer: int | None) -> bool:
        nonlocal now
        now += LOOK_SECONDS
        return watcher.look(Moment(run, now, 0.0, trainer, 1)) is not None

    assert [holds(1) for _ in range(3)] == [False, False, True]
    assert holds(None)
    in_use = False
    assert [holds(None) for _ in range(2)] == [True, False]
    in_use = True
    assert [holds(1) for _ in range(3)] == [False, False, True]
