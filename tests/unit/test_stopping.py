"""Stopping, parking and bringing back a run: real processes, with a stand-in for the interpreter that trains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.fake_interpreter import fake_interpreter, name_in_settings
from support.kept_runs import until
from support.launched_runs import kill_trainers, launch, write_profile

from codex_tui import launcher, stopping
from codex_tui.base.errors import BadInput
from codex_tui.engines import local
from codex_tui.runs.changes import delete_run, rename_run
from codex_tui.runs.follower import snapshot
from training.contract.run_directory import RunDirectory


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return write_profile(tmp_path)


@pytest.fixture(autouse=True)
def no_trainer_stays(empty_home: Path) -> Iterator[None]:
    yield
    kill_trainers()


def test_stop_asks_then_insists_then_kills(tmp_path: Path, profile: Path) -> None:
    run = launch(profile, python=fake_interpreter(tmp_path, "waiting_trainer", "stubborn"))
    until(lambda: "training" in run.log.read_text())
    assert stopping.stop(run) == "save"
    assert run.read_stop_request() == "save"
    assert run.is_trainer_alive()
    assert stopping.stop(run) == "terminate"
    until(lambda: "told to end" in run.log.read_text())
    assert run.is_trainer_alive()
    assert stopping.stop(run) == "kill"
    assert local._children[-1].wait() == -signal.SIGKILL
    with pytest.raises(BadInput, match="is not training"):
        stopping.stop(run)


def test_a_process_that_has_the_pid_of_a_trainer_is_never_signalled(tmp_path: Path, profile: Path) -> None:
    run = launch(profile, python=fake_interpreter(tmp_path, "waiting_trainer", "obedient"))
    until(lambda: "training" in run.log.read_text())
    run.request_stop("terminate")
    until(lambda: not run.is_trainer_alive())
    before = run.read_process()
    assert before is not None
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as other:
        run.write_process(msgspec.structs.replace(before, pid=other.pid))
        for asked in ("save", "terminate", "terminate"):
            run.request_stop(asked)  # as if it had been asked before
            with pytest.raises(BadInput, match="is not training"):
                stopping.stop(run)
        assert other.poll() is None


@pytest.fixture
def parking(tmp_path: Path, profile: Path) -> Iterator[RunDirectory]:
    """A run that trains under the real keeper."""
    python = fake_interpreter(tmp_path, "parking_trainer")
    name_in_settings(python)
    run = launch(profile, python=python)
    until(lambda: snapshot(run).status == "training")
    yield run
    if run.is_live():
        run.request_stop("terminate")
        until(lambda: not run.is_live())


def park(run: RunDirectory) -> None:
    stopping.park(run)
    until(lambda: snapshot(run).status == "parked" and run.read_request() is None)


def test_a_parked_run_is_brought_back_by_its_own_keeper(parking: RunDirectory) -> None:
    keeper = parking.read_keeper()
    park(parking)
    held = snapshot(parking).held
    assert held is not None and held.reason == stopping.PARK_REASON
    stopping.park(parking)  # it is parked already
    assert parking.read_request() is None
    assert launcher.resume(parking).step == held.step > 0
    until(lambda: snapshot(parking).status == "training")
    assert parking.read_keeper() == keeper
    with pytest.raises(BadInput, match="is training already"):
        launcher.resume(parking)


def test_a_resume_takes_a_park_back(parking: RunDirectory) -> None:
    stopping.park(parking)
    launcher.resume(parking)
    until(lambda: parking.read_request() is None or snapshot(parking).status == "training")
    until(lambda: snapshot(parking).status == "training")


def test_a_stop_ends_a_parked_run_and_a_new_keeper_resumes_it(parking: RunDirectory) -> None:
    park(parking)
    step = snapshot(parking).state.step
    with pytest.raises(BadInput, match=f"{parking.name} is parked"):
        rename_run(parking, "other")
    with pytest.raises(BadInput, match=f"{parking.name} is parked"):
        delete_run(parking)
    assert stopping.stop(parking) == "end"
    until(lambda: not parking.is_live())
    assert (snapshot(parking).status, snapshot(parking).state.step) == ("stopped", step)
    with pytest.raises(BadInput, match="is not training"):
        stopping.park(parking)
    launcher.resume(parking, from_start=True)  # its checkpoints are empty folders
    until(lambda: snapshot(parking).state.attempt == 2)


def test_a_run_that_nobody_could_resume_is_not_parked(parking: RunDirectory) -> None:
    keeper = parking.read_keeper()
    assert keeper is not None
    os.kill(keeper.pid, signal.SIGKILL)
    until(lambda: not parking.is_kept())
    with pytest.raises(BadInput, match=r"The keeper of .* is gone"):
        stopping.park(parking)
    assert stopping.stop(parking) == "save"
    until(lambda: not parking.is_live())
    assert snapshot(parking).status == "stopped"


def test_a_run_that_stops_is_not_parked(parking: RunDirectory) -> None:
    keeper = parking.read_keeper()
    assert keeper is not None
    trainer = parking.read_process()
    assert trainer is not None
    os.kill(trainer.pid, signal.SIGSTOP)
    stopping.stop(parking)
    with pytest.raises(BadInput, match="is stopping already"):
        stopping.park(parking)
    os.kill(trainer.pid, signal.SIGCONT)


def test_a_park_that_was_asked_for_becomes_a_stop(parking: RunDirectory) -> None:
    stopping.park(parking)
    stopping.stop(parking)
    until(lambda: not parking.is_live())
    assert snapshot(parking).status == "stopped"


def test_three_stops_kill_the_keeper_of_a_held_run_that_does_not_answer(parking: RunDirectory) -> None:
    park(parking)
    keeper = parking.read_keeper()
    assert keeper is not None
    os.kill(keeper.pid, signal.SIGSTOP)
    assert [stopping.stop(parking) for _ in range(3)] == ["end", "terminate", "kill"]
    until(lambda: not parking.is_live())
    assert snapshot(parking).status == "lost"
