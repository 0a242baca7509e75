"""The processes on the other nodes of a job: what their ends say, and how both sides notice that the other is lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import msgspec
import pytest
from support.kept_runs import until
from support.standin_slurm import make_job

from training.contract import events as ev
from training.contract.failures import TrainingFailure
from training.contract.run_directory import RunDirectory
from training.finetune import other_nodes
from training.finetune.nodes import Node, Rendezvous
from training.finetune.other_nodes import OtherNodes

FAILED = ev.Failed(kind="gpu_memory", message="Rank 2 (node n2, GPU 0): The GPU ran out of memory.")
SECONDS = 60.0

Start = Callable[[str], tuple[OtherNodes, "SimpleQueue[ev.Failed | None]"]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts the shell script `script` in place of the process on node n2, which has two ranks."""
    started: list[OtherNodes] = []

    def begin(script: str) -> tuple[OtherNodes, SimpleQueue[ev.Failed | None]]:
        monkeypatch.setenv("PATH", make_job(tmp_path / "job")["PATH"])
        python = tmp_path / "python"
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
        losses: SimpleQueue[ev.Failed | None] = SimpleQueue()
        started.append(OtherNodes(losses.put))
        nodes = [Node("n1", "127.0.0.1"), Node("n2", "127.0.0.1")]
        started[-1].start(RunDirectory(tmp_path / "run"), nodes, Rendezvous(nodes=2, port=4000), processes=2)
        return started[-1], losses

    yield begin
    for nodes in started:
        nodes.end()


def test_the_node_says_itself_why_it_failed(start: Start) -> None:
    line = msgspec.json.encode(FAILED).decode()
    _, losses = start(f"echo \"$SLURMD_NODENAME $*\"; echo; echo '{line}'; exit 1")
    assert losses.get(timeout=SECONDS) == FAILED


@pytest.mark.parametrize(
    ("script", "message", "traceback"),
    [
        ("echo last words; kill -9 $$", "was killed (SIGKILL)", "last words"),
        ("echo srun: error: No such step; exit 1", "has ended with code 1", "srun: error: No such step"),
    ],
)
def test_a_node_that_can_say_nothing_is_named_with_its_ranks(
    start: Start, script: str, message: str, traceback: str
) -> None:
    _, losses = start(script)
    failed = losses.get(timeout=SECONDS)
    assert failed is not None
    assert failed.message == f"The trainer's process on node n2 with ranks 2 to 3 {message}."
    assert traceback in failed.traceback.splitlines()


def test_a_silent_node_is_noticed_and_one_that_answers_is_not(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_nodes, "SIGN_SECONDS", 0.05)
    nodes, losses = start(f"while [ ! -e {tmp_path}/silent ]; do read line; echo; done; cat > /dev/null")
    until(lambda: nodes.find_silent(-1))  # it has given its first sign
    assert nodes.find_silent(SECONDS) == "" and losses.empty()
    monkeypatch.setattr(other_nodes, "SILENT_SECONDS", 0.5)
    (tmp_path / "silent").touch()
    assert losses.get(timeout=SECONDS) is None
    assert nodes.find_silent(0.4) == "n2"


def test_the_process_gets_all_cores_of_the_job(start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    script = f'#!/bin/sh\necho "$@" > {tmp_path}/command; exit 1\n'
    monkeypatch.setattr("support.standin_slurm.SRUN", script)
    _, losses = start("")
    losses.get(timeout=SECONDS)
    words = (tmp_path / "command").read_text().split()
    assert {"--nodes=1", "--ntasks=1", "--nodelist=n2", "--cpus-per-task=4"} <= {*words}


def test_an_end_that_was_asked_for_is_no_loss(start: Start) -> None:
    nodes, losses = start("read order; cat > /dev/null; exit 3")
    nodes.end()
    assert losses.empty()


def test_without_srun_the_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    two = [Node("n1", "127.0.0.1"), Node("n2", "127.0.0.1")]
    with pytest.raises(TrainingFailure, match=r"srun can't be started: No such file"):
        OtherNodes(lambda _: None).start(RunDirectory(tmp_path / "run"), two, Rendezvous(nodes=2), 1)


PROGRAM = """
from training.finetune import other_node
other_node.SILENT_SECONDS = float({seconds})
other_node._read_order()
other_node._stay_with_first_node()
"""


def run_other_node(seconds: float, **pipes: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM.format(seconds=seconds)], stdout=subprocess.PIPE, **pipes)


def test_the_process_of_a_node_answers_signs_and_ends_with_its_stdin() -> None:
    process = run_other_node(SECONDS, stdin=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    for line in (msgspec.json.encode(Rendezvous()) + b"\n", b"\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == b"\n"
    process.stdin.close()
    assert process.wait(SECONDS) == 0


def test_the_process_of_a_node_ends_when_no_sign_comes() -> None:
    process = run_other_node(0.1, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(Rendezvous()) + b"\n")
    process.stdin.flush()
    assert process.wait(SECONDS) == 0  # its stdin is open
