"""Several nodes on a real Slurm: two slurmd on this machine train the demo model together, and something is killed.

    PYTHONPATH=.:tests python tests/benchmarks/nodes.py TRAINER_PYTHON [CASE ...]
    PYTHONPATH=.:tests python tests/benchmarks/nodes.py TRAINER_PYTHON --namespaces

TRAINER_PYTHON has the training stack (codex-tui setup builds one). Needs root, and Slurm's packages for all but
`--namespaces`. Prints a JSON line for each case: how the run ended, after how many seconds no rank was left, and
whether the finished run equals one process to the last bit.

- stop: a stop in the middle, then a resume. limit: the time limit comes. requeue: a person gives the nodes back.
- rank, rank-0, node, srun, trainer: SIGKILL of a rank on the second node, of one on the first, of the process of the
  second node, of its srun, of the attempt's process. The run is resumed afterwards.
- lost: everything on the second node is killed, with its slurmd.

With `--namespaces`, each node is a network namespace with an address of its own, and stand-ins take Slurm's place: it
shows which interface the ranks talk on.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from support.ranks import make_profile, write_rows
from support.slurm_cluster import SlurmCluster, running_cluster
from support.training_runs import Trainer, events, losses

from training.contract.checkpoints import ADAPTER
from training.contract.run_directory import RunDirectory
from training.contract.slurm import JOB_VARIABLE

RANK_VARIABLES = ("RANK", "SLURMD_NODENAME", "GLOO_SOCKET_IFNAME", "MASTER_ADDR")
OVER = ("COMPLETED", "FAILED", "CANCELLED", "NODE_FAIL")
CASES = ("stop", "limit", "requeue", "rank", "rank-0", "node", "srun", "trainer", "lost")


def say(case: str, **figures: Any) -> None:
    print(json.dumps({"case": case, **figures}), flush=True)


def wait_until(reached: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def list_processes(run: RunDirectory) -> dict[str, psutil.Process]:
    """All processes of `run` but its keeper: the ranks by their numbers, then "node", "srun" and "attempt"."""
    found: dict[str, psutil.Process] = {}
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if str(run.path) not in words:
            continue
        kind = next((word for word in ("srun", "rank", "node", "attempt") if word in words), "")
        try:
            name = process.environ()["RANK"] if kind == "rank" else kind
            is_helper = kind == "srun" and "srun" in process.parent().cmdline()
        except (psutil.Error, KeyError, AttributeError):
            continue
        if name and not is_helper:
            found[name] = process
    return found


def equals(one: RunDirectory, run: RunDirectory) -> bool:
    adapters = [(each.adapter / ADAPTER).read_bytes() for each in (one, run)]
    return losses(one) == losses(run) and adapters[0] == adapters[1]


def describe_end(run: RunDirectory) -> dict[str, Any]:
    event = (events(run) or [{}])[-1]
    exit_ = run.read_exit()
    shown = {name: event.get(name) for name in ("type", "message", "reason", "step") if event.get(name) is not None}
    return shown | {"trainer": (exit_.signal or exit_.code) if exit_ else None}


class Job:
    """Jobs for one run on the cluster."""

    def __init__(self, cluster: SlurmCluster, trainer: Trainer, run: RunDirectory) -> None:
        self._cluster, self._trainer, self._run, self.number = cluster, trainer, run, ""

    def submit(self) -> None:
        command = f"export {JOB_VARIABLE}=$SLURM_JOB_ID; exec {self._trainer.python} -m training {self._run.path}"
        options = ("--nodes=2", "--ntasks-per-node=1", "--requeue", "--open-mode=append", f"--output={self._run.log}")
        self.number = self._cluster.ask("sbatch", "--parsable", *options, f"--wrap={command}", **self._trainer.environ)

    def is_over(self) -> bool:
        return self._cluster.read_state(self.number) in OVER


def kill(case: str, cluster: SlurmCluster, job: Job, run: RunDirectory) -> None:
    processes = list_processes(run)
    match case:
        case "stop":
            run.request_stop("save")
        case "limit":
            cluster.ask("scancel", "--batch", "--signal=USR1", job.number)
        case "requeue":
            cluster.ask("scontrol", "requeue", job.number)
        case "lost":
            cluster.kill_node("n2")
        case _:
            names = {"rank": "1", "rank-0": "0", "trainer": "attempt"}
            processes[names.get(case, case)].send_signal(signal.SIGKILL)


def try_case(case: str, cluster: SlurmCluster, trainer: Trainer, rows: str, one: RunDirectory) -> None:
    run = trainer.run(case, make_profile(nodes=2, engine="slurm"), rows)
    job = Job(cluster, trainer, run)
    job.submit()
    wait_until(lambda: events(run, "checkpoint"))
    left = [process for name, process in list_processes(run).items() if name != "srun"]
    began = time.monotonic()
    kill(case, cluster, job, run)
    wait_until(lambda: not any(process.is_running() for process in left))
    gone = time.monotonic() - began
    if case in ("limit", "requeue", "lost"):  # Slurm starts the job again by itself
        if case == "lost":
            wait_until(lambda: cluster.read_state(job.number) == "PENDING")
            cluster.bring_back_node("n2")
        wait_until(job.is_over)
        ends = [event["type"] for event in events(run) if event["type"] in ("held", "stopped", "failed", "done")]
        end: dict[str, Any] = {"ends": ends, "warnings": [event["message"] for event in events(run, "warning")]}
    else:
        wait_until(job.is_over)
        end = describe_end(run)
        run.clear_stop()
        job.submit()
        wait_until(job.is_over)
    starts = [event["resume_step"] for event in events(run, "started")]
    say(case, seconds_until_all_are_gone=round(gone, 2), **end, resumed_from=starts[1:], equal=equals(one, run))


@contextmanager
def two_namespaces(folder: Path) -> Iterator[dict[str, str]]:
    """Two network namespaces with a link, and stand-ins for Slurm's programs that reach the second one."""
    first, second, links = "codex-a", "codex-b", ("codex-va", "codex-vb")

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    for space in (first, second):
        ip("netns", "add", space)
    try:
        ip("link", "add", links[0], "type", "veth", "peer", "name", links[1])
        for number, (space, link) in enumerate(zip((first, second), links, strict=True), 1):
            ip("link", "set", link, "netns", space)
            ip("-n", space, "addr", "add", f"10.9.0.{number}/24", "dev", link)
            ip("-n", space, "link", "set", link, "up")
            ip("-n", space, "link", "set", "lo", "up")
        folder.mkdir()
        enter = f"exec ip netns exec {second} env SLURMD_NODENAME=n2"
        shift = 'while [ "${1#--}" != "$1" ]; do shift; done'
        nodes = "\\n".join(f"NodeName=n{number} NodeAddr=10.9.0.{number} Version=1" for number in (1, 2))
        for name, script in (("srun", f'{shift}\n{enter} "$@"'), ("scontrol", f'printf "{nodes}\\n"')):
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        yield {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "SLURM_JOB_ID": "1",
            "SLURM_JOB_NODELIST": "n[1-2]",
            "SLURMD_NODENAME": "n1",
        }
    finally:
        for space in (first, second):
            ip("netns", "delete", space)


def try_namespaces(trainer: Trainer, rows: str, one: RunDirectory) -> None:
    run = trainer.run("namespaces", make_profile(nodes=2, engine="slurm"), rows)
    with two_namespaces(trainer.folder / "job") as job, run.log.open("a") as log:
        command = ["ip", "netns", "exec", "codex-a", str(trainer.python), "-m", "training", str(run.path)]
        process = subprocess.Popen(command, env=trainer.environ | job, stdout=log, stderr=log)
        wait_until(lambda: events(run, "metrics") or process.poll() is not None)
        processes = list_processes(run)
        seen = [[processes[rank].environ().get(name) for name in RANK_VARIABLES] for rank in ("0", "1")]
        process.wait()
        say("namespaces", ranks=seen, **describe_end(run), equal=equals(one, run))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", type=Path)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; by default all")
    parser.add_argument("--namespaces", action="store_true")
    args = parser.parse_args()
    if unknown := {*args.cases} - {*CASES}:
        parser.error(f"there is no case {min(unknown)}")
    work = Path(tempfile.mkdtemp(prefix="codex-tui-nodes-"))
    try:
        trainer, rows = Trainer(args.python, work), write_rows(work / "rows.jsonl")
        one = trainer.run("one", make_profile(), rows)
        assert trainer.train(one) == 0, one.log.read_text()
        if args.namespaces:
            try_namespaces(trainer, rows, one)
            return
        with running_cluster(work / "cluster") as cluster:
            for case in args.cases or CASES:
                try_case(case, cluster, trainer, rows, one)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
