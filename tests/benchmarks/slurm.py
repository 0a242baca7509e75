"""Proofs on a real Slurm of two nodes on this machine, which take minutes.

python tests/benchmarks/slurm.py generations   the real trainer in three jobs, against one that nobody interrupted
python tests/benchmarks/slurm.py limit         Slurm's own time limit, twice
python tests/benchmarks/slurm.py node          a node that dies and that nobody reports to the controller
python tests/benchmarks/slurm.py forgotten     a job that has left squeue (MinJobAge)
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.fake_interpreter import fake_interpreter, name_in_settings
from support.slurm_cluster import SlurmCluster, running_cluster

from training.contract.run_directory import RunDirectory

DEMO = ("--set", "hardware.device=cpu", "--headless")
ON_SLURM = ("--set", "launch.engine=slurm", "--set", "launch.slurm.cpus=2")
started = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)


def wait(reached: Callable[[], object], seconds: float = 500.0) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.5)


def start(cluster: SlurmCluster, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "codex_tui", *arguments], env=cluster.environ, text=True)


def tell(cluster: SlurmCluster, *arguments: str) -> str:
    command = [sys.executable, "-m", "codex_tui", *arguments]
    return subprocess.run(command, env=cluster.environ, text=True, capture_output=True, check=False).stdout.strip()


def open_run(name: str) -> RunDirectory:
    return RunDirectory(Path(os.environ["CODEX_TUI_HOME"]) / "data" / "runs" / name)


def read(run: RunDirectory, kind: str) -> list[dict[str, Any]]:
    if not run.events.exists():
        return []
    lines = run.events.read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["type"] == kind]


def find_job(run: RunDirectory) -> str:
    wait(lambda: (record := run.read_engine()) and record.job)
    record = run.read_engine()
    assert record
    return record.job


def prove_generations(cluster: SlurmCluster) -> None:
    alone = start(cluster, "train", "demo", "--name", "alone", *DEMO)
    assert alone.wait() == 0
    say("the run that nobody interrupts is done")
    viewer = start(cluster, "train", "demo", "--name", "jobs", *ON_SLURM, *DEMO)
    run = open_run("jobs")
    job = find_job(run)
    for generation in (1, 2):
        wait(lambda: len(read(run, "started")) == generation)  # noqa: B023
        before = len(read(run, "metrics"))
        wait(lambda: len(read(run, "metrics")) >= before + 5)  # noqa: B023
        cluster.ask("scancel", "--signal=USR1", "--batch", job)
        wait(lambda: cluster.read_state(job) == "PENDING")
        say(tell(cluster, "runs"))
    assert viewer.wait() == 0
    starts = [(event["attempt"], event["resume_step"]) for event in read(run, "started")]
    say(f"attempts and the steps that they went on from: {starts}, all in job {job}")
    hashes = [
        hashlib.sha256((open_run(name).adapter / "adapter_model.safetensors").read_bytes()).hexdigest()
        for name in ("alone", "jobs")
    ]
    losses = [{e["step"]: e["loss"] for e in read(open_run(name), "metrics")} for name in ("alone", "jobs")]
    say(f"adapters {hashes[0][:16]} {hashes[1][:16]}; {len(losses[0])} losses, equal: {losses[0] == losses[1]}")
    assert hashes[0] == hashes[1] and losses[0] == losses[1] and len(starts) == 3


def prove_limit(cluster: SlurmCluster) -> None:
    short = ("--set", "launch.slurm.time=00:02:00", "--set", "launch.slurm.signal_seconds=30")
    start(cluster, "train", "demo", "--name", "limit", *ON_SLURM, *short, *DEMO)
    run = open_run("limit")
    job = find_job(run)
    for generation in (1, 2, 3):
        wait(lambda: len(read(run, "started")) == generation)  # noqa: B023
        say(f"attempt {generation} goes on from step {read(run, 'started')[-1]['resume_step']}")
        if generation < 3:
            wait(lambda: cluster.read_state(job) == "PENDING")
            say(tell(cluster, "runs"))
    say(tell(cluster, "stop", "limit"))
    wait(lambda: read(run, "stopped"))


def prove_node(cluster: SlurmCluster) -> None:
    start(cluster, "train", "demo", "--name", "node", *ON_SLURM, *DEMO)
    run = open_run("node")
    job = find_job(run)
    wait(lambda: len(read(run, "metrics")) > 5)
    node = cluster.ask("squeue", "--noheader", f"--jobs={job}", "--format=%N")
    cluster.kill_node(node)
    say(f"{node} is dead")
    wait(lambda: cluster.read_state(job) != "RUNNING")
    say(f"Slurm has noticed it: {cluster.read_state(job)}")
    say(tell(cluster, "runs"))
    wait(lambda: len(read(run, "started")) == 2)
    say(f"the run goes on on {cluster.ask('squeue', '--noheader', f'--jobs={job}', '--format=%N')}")
    say(tell(cluster, "stop", "node"))
    wait(lambda: read(run, "stopped"))


def prove_forgotten(cluster: SlurmCluster) -> None:
    for name in ("ended", "lost"):
        start(cluster, "train", "demo", "--name", name, *ON_SLURM, *DEMO)
    runs = [open_run("ended"), open_run("lost")]
    jobs = [find_job(run) for run in runs]
    for run in runs:
        wait(lambda: len(read(run, "metrics")) > 5)  # noqa: B023
    say(tell(cluster, "stop", "ended"))
    for process in (runs[1].read_keeper(), runs[1].read_process()):
        assert process
        os.kill(process.pid, 9)
    say("the keeper and the trainer of lost are killed")
    wait(lambda: not any(cluster.read_state(job) for job in jobs))
    say("squeue knows none of the jobs any more")
    time.sleep(1)
    say(tell(cluster, "runs"))
    start(cluster, "resume", "lost", "--headless")
    wait(lambda: len(read(runs[1], "started")) == 2)
    say(f"lost goes on in job {find_job(runs[1])} after {jobs[1]}")
    say(tell(cluster, "stop", "lost"))
    wait(lambda: read(runs[1], "stopped"))


if __name__ == "__main__":
    proof = sys.argv[1]
    values = {"node": {"node_timeout": 10}, "forgotten": {"min_job_age": 2}}.get(proof, {})
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        os.environ["CODEX_TUI_HOME"] = f"{folder}/home"
        if proof == "generations":
            name_in_settings(Path("~/.local/share/codex-tui/envs/codex-train/bin/python").expanduser())
        else:
            name_in_settings(fake_interpreter(Path(folder), "parking_trainer"))
        with running_cluster(Path(folder) / "cluster", **values) as cluster:
            {
                "generations": prove_generations,
                "limit": prove_limit,
                "node": prove_node,
                "forgotten": prove_forgotten,
            }[proof](cluster)
            say("proven")
