"""The keeper as the batch shell of a job, on a real Slurm of two nodes. Its trainer only logs."""

from __future__ import annotations

import sys
from pathlib import Path

from support.kept_runs import make_run, until
from support.programs import PROGRAMS
from support.slurm_cluster import SlurmCluster

from codex_tui.runs.follower import snapshot
from training.contract import events as ev
from training.contract.end_event import read_end_event
from training.contract.run_directory import RunDirectory
from training.contract.slurm import JOB_VARIABLE
from training.keeper import batch_job


def submit(cluster: SlurmCluster, run: RunDirectory, *options: str) -> str:
    script = f"export {JOB_VARIABLE}=$SLURM_JOB_ID; exec {sys.executable} {PROGRAMS}/parking_trainer.py {run.path}"
    output = (f"--output={run.log}", "--open-mode=append")
    return cluster.ask("sbatch", "--parsable", *output, *options, "--wrap", script)


def wait_for_attempt(run: RunDirectory, attempt: int) -> int:
    """Wait until the attempt has taken a step. Returns the step that it went on from."""
    until(lambda: (now := snapshot(run).state).attempt == attempt and now.step > now.resume_step)
    return snapshot(run).state.resume_step


def wait_for_end(run: RunDirectory, kind: type[ev.Event]) -> ev.Event:
    until(lambda: isinstance(read_end_event(run.events, 0), kind))
    return read_end_event(run.events, 0)


def wait_for_hold(cluster: SlurmCluster, run: RunDirectory, job: str, reason: str) -> ev.Held:
    """Wait until the run is held for `reason` and its keeper has left the job. Returns the event."""
    until(lambda: isinstance(end := read_end_event(run.events, 0), ev.Held) and end.reason == reason)
    until(lambda: not run.keeper.exists())
    until(lambda: cluster.read_state(job) != "COMPLETING", 0.2)
    held = read_end_event(run.events, 0)
    assert isinstance(held, ev.Held) and held.step > 0
    return held


def test_a_run_goes_on_in_its_job_whatever_took_its_nodes(cluster: SlurmCluster, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    job = submit(cluster, run, "--requeue")
    assert wait_for_attempt(run, 1) == 0

    cluster.ask("scancel", "--signal=USR1", "--batch", job)  # as Slurm does before the time limit
    held = wait_for_hold(cluster, run, job, batch_job.TIME_LIMIT)
    assert (held.state, held.ends) == ("waiting", batch_job.ENDS)
    assert wait_for_attempt(run, 2) == held.step

    cluster.ask("scontrol", "requeue", job)  # as an administrator or a job of higher priority does
    held = wait_for_hold(cluster, run, job, batch_job.TAKEN)
    assert wait_for_attempt(run, 3) == held.step

    cluster.ask("scancel", job)
    stopped = wait_for_end(run, ev.Stopped)
    assert stopped.step > held.step and snapshot(run).state.missing_events == 0
    until(lambda: cluster.read_state(job) == "CANCELLED", 0.2)
    headings = [line for line in run.log.read_text().splitlines() if line.startswith("──")]
    assert headings == [f"── attempt {attempt} ──" for attempt in (2, 3)]


def test_a_run_whose_job_may_not_return_stops_before_the_time_limit(cluster: SlurmCluster, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    job = submit(cluster, run, "--no-requeue")
    wait_for_attempt(run, 1)
    cluster.ask("scancel", "--signal=USR1", "--batch", job)
    assert wait_for_end(run, ev.Stopped).resumable
    until(lambda: cluster.read_state(job) == "COMPLETED", 0.2)


def test_a_run_goes_on_when_its_node_is_lost(cluster: SlurmCluster, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    job = submit(cluster, run, "--requeue")
    wait_for_attempt(run, 1)
    node = cluster.ask("squeue", "--noheader", f"--jobs={job}", "--format=%N")
    cluster.lose_node(node)
    assert wait_for_attempt(run, 2) == 0  # there was no checkpoint yet
    cluster.bring_back_node(node)
    run.request_stop("save")
    assert wait_for_end(run, ev.Stopped).step > 0
    until(lambda: cluster.read_state(job) == "COMPLETED", 0.2)
