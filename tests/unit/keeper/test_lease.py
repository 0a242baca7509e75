"""The queue with real keepers, whose trainers only log: the owners die at random, and each run trains once."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from support.config_file import write_config
from support.kill.queued import Trial, kill_owners
from support.queued_runs import launch, places, queue_home, status, until
from support.training_runs import events

from codex_tui import launcher, stopping
from codex_tui.launch_plan import make_plan
from codex_tui.launch_series import plan_series
from codex_tui.profiles.sweep import parse_sweep
from codex_tui.runs.follower import snapshot
from codex_tui.runs.queue import list_places, move_queued
from training.contract.card_queue import VARIABLE, CardQueue
from training.contract.control import Request
from training.contract.run_directory import RunDirectory
from training.contract.ticket import CPU
from training.keeper.lease import CardLease
from training.keeper.run_config import read_config


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))


def test_owners_die_at_random_and_each_run_trains_once(tmp_path: Path) -> None:
    with queue_home(tmp_path, steps=8, seconds=0.03) as profile:
        series = plan_series([str(profile)], parse_sweep(["training.seed=1,2,3,4,5"]))
        trial = Trial([launcher.launch(plan, wait=True) for plan in series.plans])
        kill_owners(trial, random.Random(17), kills=8, pause=0.1)
        assert not trial.problems
        assert sum(trial.kills.values()) >= 5


def test_owners_die_at_random_and_runs_on_two_cards_wait_for_both(tmp_path: Path) -> None:
    with queue_home(tmp_path, steps=8, seconds=0.03) as profile:
        devices = ([0], [0, 1], [1], [1, 0], 1)
        named = zip("01234", devices, strict=True)
        plans = [make_plan(profile, name=name, overrides={"hardware.device": own}) for name, own in named]
        trial = Trial([launcher.launch(plan, wait=True) for plan in plans])
        assert trial.cards["1"] == trial.cards["3"] == {"gpu-0", "gpu-1"}
        kill_owners(trial, random.Random(18), kills=6, pause=0.1)
        assert not trial.problems


def test_a_queued_run_says_why_it_waits_and_can_be_moved_stopped_and_resumed(tmp_path: Path) -> None:
    with queue_home(tmp_path) as profile:
        first, second, _, fourth = launch(profile, *"abcd")
        assert places() == ["a training", "b queued", "c queued", "d queued"]
        assert snapshot(second).reason == "a trains on the CPU."
        assert snapshot(fourth).reason == "a trains on the CPU; 2 runs are before this one."
        assert move_queued(fourth, "first") == 1
        until(lambda: snapshot(fourth).reason == "a trains on the CPU.")
        second.request_stop()
        until(lambda: status(second) == "stopped")
        assert places() == ["a training", "d queued", "c queued"]
        first.request_stop()
        until(lambda: status(fourth) == "training")
        launcher.resume(second, wait=True)
        until(lambda: status(second) == "queued")
        assert places() == ["d training", "c queued", "b queued"]


def test_a_card_that_a_person_borrows_stays_free_and_a_queued_run_can_be_started_anyway(tmp_path: Path) -> None:
    with queue_home(tmp_path) as profile:
        first, second, third = launch(profile, *"abc")
        first.write_request(Request("park", "asked with L"))
        until(lambda: snapshot(second).reason == "a is parked, and its card is lent.")
        assert places() == ["a lent", "b queued", "c queued"]
        second.write_request(Request("resume"))
        until(lambda: status(second) == "training")
        first.write_request(Request("resume"))
        until(lambda: status(first) == "queued")
        assert places() == ["b training", "a queued", "c queued"]  # its old place
        assert snapshot(first).reason == "b trains on the CPU."
        second.request_stop()
        until(lambda: status(first) == "training")
        assert status(third) == "queued"


def test_a_parked_run_that_is_resumed_now_starts_although_another_run_has_the_card(tmp_path: Path) -> None:
    with queue_home(tmp_path) as profile:
        first, second = launch(profile, *"ab")
        stopping.park(first)
        until(lambda: snapshot(second).reason == "a is parked, and its card is lent.")
        launcher.resume(second)
        until(lambda: status(second) == "training")
        launcher.resume(first)
        until(lambda: status(first) == "training")
        assert places() == ["a training", "b training"]
        assert [event["state"] for event in events(first, "held")] == ["parked"]  # it was never queued


def test_a_run_that_a_rule_parks_gives_its_turn_up(tmp_path: Path) -> None:
    with queue_home(tmp_path) as profile:
        hour = (time.localtime().tm_hour + 6) % 24
        profile.write_text(f'{profile.read_text()}[keeper]\nhours = "{hour:02}:00-{hour:02}:30"\n')
        [first] = launch(profile, "a", state="waiting")
        [second] = launch(profile, "b", state="waiting")
        assert places() == ["a parked", "b parked"]
        first.write_request(Request("resume"))
        until(lambda: status(first) == "training")
        second.write_request(Request("resume"))
        until(lambda: status(second) == "queued")
        assert places() == ["a training", "b queued"]


def test_a_run_whose_ticket_was_deleted_takes_another(tmp_path: Path) -> None:
    with queue_home(tmp_path) as profile:
        first, second = launch(profile, *"ab")
        place = list_places()[1]
        (place.queue.folders[0] / place.ticket.file_name).unlink()
        until(lambda: places() == ["a training", "b queued"])
        assert status(second) == "queued"
        first.request_stop()
        until(lambda: status(second) == "training")


def test_a_held_run_whose_ticket_was_deleted_waits_for_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "")  # so that the test leaves the variable as it was
    run = RunDirectory(tmp_path / "a")
    run.create()
    write_config(run, {"version": 1, "profile": {"hardware": {"device": "cpu"}}, "dataset": "demo:zombie_waves"})
    card, queue = CardLease(run, read_config(run)), CardQueue.of_card(tmp_path, CPU)
    card.give_up(run, is_lent=False)
    other = queue.take("b")
    (queue.folders[0] / queue.read()[0].file_name).unlink()
    hold = card.wait(run)
    assert hold is not None and hold.state == "queued"
    hold = card.wait(run)
    assert hold is not None and hold.reason == "b trains on the CPU."
    other.release()
    assert card.wait(run) is None
    card.release()
