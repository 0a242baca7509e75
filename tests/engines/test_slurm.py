"""Runs that the Slurm engine submits to a real Slurm of two nodes. Their trainer only logs."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.fake_interpreter import fake_interpreter, name_in_settings
from support.kept_runs import until
from support.slurm_cluster import SlurmCluster

from codex_tui import launcher, stopping
from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.engines.refresh import refresh
from codex_tui.engines.slurm import programs
from codex_tui.launch_plan import make_plan
from codex_tui.runs.changes import delete_run, rename_run
from codex_tui.runs.follower import snapshot
from training.contract.engine import EngineRecord
from training.contract.run_directory import RunDirectory

PAUSE = 0.2  # seconds between two questions to Slurm


@pytest.fixture(autouse=True)
def on_the_login_node(cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch, empty_home: Path) -> Iterator[None]:
    """This process can submit jobs, as a person on a login node. No job outlives the test."""
    monkeypatch.setenv("PATH", cluster.environ["PATH"])
    monkeypatch.setenv("SLURM_CONF", cluster.environ["SLURM_CONF"])
    name_in_settings(fake_interpreter(empty_home, "parking_trainer"))
    yield
    with suppress(AssertionError):
        cluster.ask("scancel", "--user=root")
    until(lambda: not cluster.ask("squeue", "--noheader"), PAUSE)


def launch(**values: Any) -> RunDirectory:
    slurm = {f"launch.slurm.{name}": value for name, value in values.items()}
    plan = make_plan(locations.shipped_profiles() / "demo.toml", overrides={"launch.engine": "slurm"} | slurm)
    return launcher.launch(plan)


def look(run: RunDirectory) -> EngineRecord:
    record = refresh(run)
    assert record
    return record


def wait_for_status(run: RunDirectory, status: str) -> None:
    until(lambda: look(run) and snapshot(run).status == status, PAUSE)


def occupy(cluster: SlurmCluster) -> list[str]:
    """Take the GPUs of both nodes."""
    jobs = [
        cluster.ask("sbatch", "--parsable", "--output=/dev/null", "--gres=gpu:1", "--wrap=exec sleep 1000")
        for _ in range(2)
    ]
    until(lambda: {cluster.read_state(job) for job in jobs} == {"RUNNING"}, PAUSE)
    return jobs


def test_a_run_is_parked_resumed_and_stopped_in_its_job(cluster: SlurmCluster) -> None:
    run = launch(time="01:00:00", gres="gpu:1", cpus=2, memory="600M")
    record = look(run)
    job = cluster.ask("scontrol", "show", "job", record.job)
    for wanted in (f"JobName={run.name}", "TimeLimit=01:00:00", "CPUs/Task=2", "MinMemoryNode=600M", "Requeue=1"):
        assert wanted in job, job
    wait_for_status(run, "training")
    assert look(run).host in ("n1", "n2")
    with pytest.raises(BadInput, match="End it first"):
        rename_run(run, "other")
    with pytest.raises(BadInput, match="is training already"):
        launcher.resume(run)

    stopping.park(run)
    wait_for_status(run, "parked")
    until(lambda: cluster.read_state(record.job) == "PENDING", PAUSE)  # the nodes are free
    wait_for_status(run, "parked")
    watched = snapshot(run)
    assert watched.held is not None and watched.held.reason == stopping.PARK_REASON and watched.held.step > 0
    assert run.is_live() and not run.is_trainer_alive()

    copied = RunDirectory(shutil.copytree(run.path, run.path.with_name("copied")))
    assert snapshot(copied).reason == f"This is a copy; its original ran as job {record.job}."
    with pytest.raises(BadInput, match="is not training"):
        stopping.stop(copied)
    assert cluster.read_state(record.job) == "PENDING"
    delete_run(copied)

    assert launcher.resume(run).step == watched.held.step
    wait_for_status(run, "training")
    assert snapshot(run).state.resume_step == watched.held.step
    assert look(run).job == record.job

    assert stopping.stop(run) == "save"
    wait_for_status(run, "stopped")
    until(lambda: look(run).status == "gone", PAUSE)
    step = snapshot(run).state.step
    launcher.resume(run, from_start=True)  # the checkpoints of this trainer are empty
    wait_for_status(run, "training")
    assert look(run).job != record.job
    assert (snapshot(run).state.attempt, snapshot(run).state.resume_step) == (3, step)

    for process in (run.read_keeper(), run.read_process()):
        assert process
        os.kill(process.pid, signal.SIGKILL)
    wait_for_status(run, "lost")
    assert re.fullmatch(r"It is gone from Slurm at step \d+: the job failed \(.+\)\.", snapshot(run).reason)
    delete_run(run)


def test_a_run_waits_and_says_why_and_can_be_parked_and_stopped_before_it_begins(cluster: SlurmCluster) -> None:
    filling = occupy(cluster)
    stopped, parked = launch(gres="gpu:1"), launch(gres="gpu:1")
    for run in (stopped, parked):
        until(lambda run=run: "just now" not in look(run).reason, PAUSE)
        watched = snapshot(run)
        assert watched.status == "waiting" and run.is_live() and not run.is_trainer_alive()
        assert watched.reason.startswith(("Slurm: no node with enough free resources", "Slurm: other jobs come first"))

    assert stopping.stop(stopped) == "end"
    assert snapshot(stopped).status == "stopped" and not stopped.is_live()
    assert cluster.read_state(look(stopped).job) == "CANCELLED" and snapshot(stopped).status == "stopped"
    stopping.park(parked)
    wait_for_status(parked, "parked")
    for job in filling:
        cluster.ask("scancel", job)
    launcher.resume(parked)
    assert snapshot(parked).status in ("waiting", "training", "preparing")
    launcher.resume(stopped)
    for run in (stopped, parked):
        wait_for_status(run, "training")
        assert snapshot(run).state.attempt == 1


def test_what_slurm_refuses_leaves_nothing_behind(cluster: SlurmCluster) -> None:
    for values, problem in (
        ({"partition": "nope"}, "Slurm refuses the job: invalid partition specified: nope"),
        ({"gres": "tpu:1"}, "Invalid generic resource"),
        ({"memory": "900G"}, "Memory specification can not be satisfied"),
    ):
        with pytest.raises(BadInput, match=problem) as raised:
            launch(**values)
        assert "sinfo" in raised.value.hint
        assert not list(locations.runs_home().glob("*"))


def test_a_controller_that_is_down_makes_no_run_lost(cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "SECONDS", 1.0)
    run = launch()
    wait_for_status(run, "training")
    cluster.stop_controller()
    try:
        record = look(run)
        assert (record.status, record.reason) == ("unreachable", "its controller did not answer within 1 seconds")
        assert snapshot(run).status == "training"  # its events say so
        with pytest.raises(CodexError, match="Slurm does not answer: its controller did not answer"):
            stopping.stop(run)
        monkeypatch.setattr("codex_tui.engines.slurm.submission.SUBMIT_SECONDS", 1.0)
        with pytest.raises(CodexError, match="Slurm does not answer"):
            launch()
    finally:
        cluster.start_controller()
    until(lambda: look(run).status == "running", PAUSE)
    assert stopping.stop(run) == "save"
    wait_for_status(run, "stopped")
