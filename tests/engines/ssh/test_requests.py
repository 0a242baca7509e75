"""Stops, parks and resumes that go over ssh to the very run."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from support.config_file import write_config
from support.fake_checkpoint import write_checkpoint
from support.fake_interpreter import fake_interpreter
from support.kept_runs import until
from support.sent_runs import find_there, status_of, train_with
from support.sshd import Box

from codex_tui import launcher, stopping
from codex_tui.base.errors import BadInput
from codex_tui.engines.ssh import engine
from codex_tui.engines.ssh.remote.remotes import Remote
from codex_tui.launch_plan import make_plan
from codex_tui.runs.changes import rename_run
from codex_tui.runs.follower import snapshot
from codex_tui.runs.resume_point import NoWholeCheckpoint
from training.contract.config import RunConfig
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory


def test_park_and_resume_go_over_the_link(run: RunDirectory) -> None:
    there = find_there(run)
    until(lambda: status_of(run) == "training")
    stopping.park(run)
    until(lambda: status_of(run) == "parked")
    assert not there.is_trainer_alive() and there.is_kept()
    copied = RunDirectory(shutil.copytree(run.path, run.path.with_name("copied")))
    assert snapshot(copied).reason == "This is a copy; its original ran on box."
    for change in (stopping.stop, stopping.park, launcher.resume):
        with pytest.raises(BadInput, match=r"is not training|can't be resumed"):
            change(copied)
    assert status_of(run) == "parked" and there.is_kept()
    launcher.resume(run)
    until(lambda: status_of(run) == "training")
    assert snapshot(run).state.attempt == 2


def test_a_run_that_was_stopped_is_resumed_over_there(run: RunDirectory) -> None:
    there = find_there(run)
    until(lambda: status_of(run) == "training")
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped")
    with pytest.raises(NoWholeCheckpoint, match="box: The checkpoint of step"):
        launcher.resume(run)
    assert status_of(run) == "stopped"
    shutil.rmtree(there.checkpoints)
    write_checkpoint(there.checkpoints, 7)
    until_then = time.time() + 3e6
    launcher.resume(run, until=until_then)
    assert snapshot(run).status == "preparing"  # its old end is that of the first attempt
    until(lambda: status_of(run) == "training")
    state = snapshot(run).state
    assert (state.attempt, state.resume_step) == (2, 7)
    assert abs((RunConfig.read(there.config).until or 0) - until_then) < 60


def test_a_second_and_a_third_stop_end_and_kill_it(remote: Remote, profile: Path, box: Box) -> None:
    train_with(remote, fake_interpreter(box.home, "waiting_trainer", "stubborn"))
    run = launcher.launch(make_plan(profile))
    there = find_there(run)
    until(lambda: b"training" in there.log.read_bytes())
    assert [stopping.stop(run) for _ in range(2)] == ["save", "terminate"]
    until(lambda: b"told to end" in there.log.read_bytes())
    assert stopping.stop(run) == "kill"
    until(lambda: not there.is_live())
    assert status_of(run) == "lost"
    with pytest.raises(BadInput, match="is not training"):
        stopping.stop(run)


def test_runs_keep_together_whatever_they_are_called(run: RunDirectory, remote: Remote) -> None:
    until(lambda: status_of(run) == "training")
    stopping.park(run)
    until(lambda: status_of(run) == "parked")
    there = find_there(run)
    there.path.rename(there.path.with_name("moved"))
    launcher.resume(run)
    assert find_there(run).name == "moved"
    until(lambda: status_of(run) == "training")
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped")
    renamed = rename_run(run, "renamed")
    assert status_of(renamed) == "stopped"
    with pytest.raises(NoWholeCheckpoint) as refused:
        launcher.resume(renamed)  # the checkpoints of this trainer are empty
    assert refused.value.hint.endswith("codex-tui resume renamed --from-start")
    shutil.rmtree(find_there(renamed).path)
    launcher.resume(renamed)  # it is sent again
    until(lambda: status_of(renamed) == "training")


def test_a_stop_reaches_the_very_run_whatever_the_others_are_called(run: RunDirectory, remote: Remote) -> None:
    there = find_there(run)
    until(lambda: status_of(run) == "training")
    stopping.park(run)
    until(lambda: status_of(run) == "parked")
    others = [RunDirectory(there.path.with_name(name)) for name in (f"{run.name}0", run.name)]
    there.path.rename(there.path.with_name("moved"))
    for other in others:  # one whose name begins so, and one with the same name
        other.create()
        write_config(other, {"name": other.name, "created": 1.0})
        other.write_keeper(ProcessIdentity.current())
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped")
    assert find_there(run).name == "moved"
    assert not any(other.control.exists() for other in others)
    shutil.rmtree(find_there(run).path)
    place = engine._Place.of(run)
    with pytest.raises(BadInput, match=r"The run's folder is gone on box\."):
        place.call("stop", "--exact")
    assert not any(other.control.exists() for other in others)
    for other in others:
        shutil.rmtree(other.path)
