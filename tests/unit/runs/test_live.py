"""Tests which run trains now and which one the app opens on, also with a damaged or old memory of dead trainers."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import msgspec
import pytest
from support.engine_runs import put_on_box
from support.fake_runs import append_events, make_run

from codex_tui.base import locations
from codex_tui.base.checked_file import CHECKSUM_BYTES, compute_checksum
from codex_tui.runs import live
from codex_tui.runs.announced import claim
from training.contract import events as ev
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")

STARTED = ev.Started(attempt=1, pid=1)


@pytest.fixture
def keep_fresh_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep runs that have just been written too, so that no test has to wait."""
    monkeypatch.setattr(live, "MIN_AGE_SECONDS", -1e9)


def find_name() -> str | None:
    run = live.find_run_to_open()
    return run.name if run else None


def find_cache_file() -> Path:
    return locations.cache_home() / "dead-trainers"


def set_last_write(run: RunDirectory, hours_ago: float) -> None:
    for path in (run.events, run.process):
        os.utime(path, (time.time() - hours_ago * 3600,) * 2)


def make_done_and_lost() -> tuple[RunDirectory, RunDirectory]:
    """A run that is done, and one that was lost an hour before."""
    done, lost = make_run("done", STARTED, ev.Done(step=1)), make_run("lost", STARTED, ev.Phase(name="training"))
    set_last_write(done, 1)
    set_last_write(lost, 2)
    return done, lost


def test_a_run_of_another_machine_takes_no_card_here_and_the_app_opens_on_it() -> None:
    put_on_box(make_run("there", STARTED), "running")
    make_done_and_lost()
    assert live.find_live_run() is None  # a judgement or an export may have the card
    assert find_name() == "there"
    make_run("here", STARTED, alive=True)
    put_on_box(make_run("newer", STARTED), "running")
    here = live.find_live_run()
    assert here is not None and here.name == "here"


def test_a_held_run_leaves_the_card_to_others_and_the_app_opens_on_it() -> None:
    held = ev.Held(state="parked", reason="You lent the card.", step=1)
    make_run("held", STARTED, held, kept=True)
    make_done_and_lost()
    assert live.find_live_run() is None  # a judgement or an export may have the card
    assert find_name() == "held"
    make_run("alive", STARTED, alive=True)
    live_run = live.find_live_run()
    assert live_run is not None and live_run.name == find_name() == "alive"


def test_the_app_opens_with_the_run_that_matters() -> None:
    assert find_name() is None
    done, lost = make_done_and_lost()
    assert find_name() == "done"
    assert claim(done, "seen")
    set_last_write(lost, 2)
    set_last_write(done, 1)
    assert find_name() is None
    set_last_write(done, 3)  # although it was created later
    assert find_name() == "lost"
    failed = make_run("failed", STARTED, ev.Failed(kind="unknown", message="It broke."))
    set_last_write(failed, 1)
    assert find_name() == "failed"
    stopped = make_run("stopped", STARTED, ev.Stopped(step=1))
    set_last_write(stopped, 0.5)
    assert find_name() == "stopped"
    assert claim(stopped, "seen")
    assert find_name() is None
    make_run("live", STARTED, alive=True)
    assert find_name() == "live"


def test_the_newest_live_run_is_found() -> None:
    make_run("ended", STARTED, ev.Done(step=1))
    for number, name in enumerate(("old", "new", "older"), 1):
        run = make_run(name, STARTED, alive=True)
        os.utime(run.profile, (1e9 - number,) * 2 if name != "new" else (1e9,) * 2)
    newest = live.find_live_run()
    assert newest is not None
    assert newest.name == "new"


@pytest.mark.usefixtures("keep_fresh_runs")
def test_a_dead_trainer_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, lost = make_done_and_lost()
    assert live.find_live_run() is None
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "is_trainer_alive", lambda run: pytest.fail(f"{run} was looked for again"))
        assert live.find_live_run() is None
        assert find_name() == "done"
    lost.write_process(ProcessIdentity.current(attempt=2))
    assert find_name() == "lost"


@pytest.mark.usefixtures("keep_fresh_runs")
def test_a_run_that_needs_no_person_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    done, _ = make_done_and_lost()
    claim(done, "seen")
    assert find_name() is None
    with monkeypatch.context() as patch:
        patch.setattr("codex_tui.runs.follower.snapshot", lambda run: pytest.fail(f"{run} was read again"))
        assert find_name() is None
    append_events(done, ev.Started(attempt=2, pid=1))  # of a trainer that never wrote process.json
    assert find_name() == "done"


def test_a_run_that_has_just_changed_is_not_kept() -> None:
    make_done_and_lost()
    live.find_live_run()
    assert not find_cache_file().exists()


@pytest.mark.usefixtures("keep_fresh_runs")
@pytest.mark.parametrize("number", range(8))
def test_a_damaged_file_is_ignored(number: int) -> None:
    done, _ = make_done_and_lost()
    claim(done, "seen")
    assert find_name() is None
    data = find_cache_file().read_bytes()
    body = data[CHECKSUM_BYTES:]
    home = str(locations.runs_home()).encode()
    wrong = [
        b"",
        data[:-9],
        b"\xff" * 4000,
        data.replace(b"lost", b"done"),
        compute_checksum(other := body.replace(home, home[:-1] + b"X")) + other,
        compute_checksum(other := body.replace(live.FORMAT.encode(), live.FORMAT[:-1].encode() + b"9")) + other,
        compute_checksum(other := b"\x91" * 100_000) + other,
        compute_checksum(other := msgspec.msgpack.encode([live.FORMAT, home.decode(), {"done": [1, 2]}])) + other,
    ]
    done.write_process(ProcessIdentity.current(attempt=2))
    find_cache_file().write_bytes(wrong[number])
    assert find_name() == "done"
    assert find_cache_file().read_bytes() != wrong[number]


@pytest.mark.usefixtures("keep_fresh_runs")
def test_what_was_seen_of_one_run_is_never_used_for_another() -> None:
    done, lost = make_done_and_lost()
    claim(done, "seen")
    assert find_name() is None
    away = done.path.rename(done.path.with_name("away"))
    lost.path.rename(done.path)
    assert find_name() is None  # "away" is the run that was done, and it is still the last one
    shutil.rmtree(away)
    assert find_name() == "done"


@pytest.mark.usefixtures("keep_fresh_runs")
def test_a_folder_that_cannot_be_read_leaves_the_cache_as_it_is() -> None:
    make_done_and_lost()
    live.find_live_run()
    kept, home = find_cache_file().read_bytes(), locations.runs_home()
    away = home.rename(home.with_name("away"))
    assert live.find_live_run() is None
    home.write_text("a file where the folder should be")
    assert live.find_live_run() is None
    home.unlink()
    away.rename(home)
    assert find_cache_file().read_bytes() == kept


@pytest.mark.usefixtures("keep_fresh_runs")
def test_a_name_that_is_no_text_costs_only_time() -> None:
    done, _ = make_done_and_lost()
    done.path.rename(done.path.with_name(os.fsdecode(b"caf\xe9")))
    assert live.find_live_run() is None
    assert find_name() == os.fsdecode(b"caf\xe9")


def test_without_a_writable_cache_the_app_opens_all_the_same() -> None:
    make_done_and_lost()
    locations.cache_home().write_text("a file where the folder should be")
    assert find_name() == find_name() == "done"
