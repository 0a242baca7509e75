"""Two ranks on the real trainer: they learn what one process learns to the last bit, through a killed rank, a stop,
a park and the resumes. They are on one machine, or on two nodes of a job. The runs follow each other, because each
start of two trainers takes many seconds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support.ranks import STEPS, make_profile, write_rows
from support.standin_slurm import make_job
from support.training_runs import Trainer, events, losses

from training.contract import cache, checkpoints
from training.contract.control import Request
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory

GONE_SECONDS = 90  # a node that gets no sign any more gives up after 60


@pytest.fixture(scope="module")
def rows(trainer: Trainer) -> str:
    return write_rows(trainer.folder / "twelve.jsonl")


@pytest.fixture(scope="module")
def one(trainer: Trainer, rows: str) -> RunDirectory:
    run = trainer.run("one", make_profile(), rows)
    assert trainer.train(run) == 0, run.log.read_text()
    return run


@pytest.fixture(scope="module")
def two(trainer: Trainer, rows: str) -> RunDirectory:
    return trainer.run("two", make_profile(processes=2), rows)


@pytest.fixture(scope="module")
def nodes(trainer: Trainer, rows: str) -> Iterator[RunDirectory]:
    """A run on two nodes, each with one rank."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in make_job(trainer.folder / "job").items():
            patch.setenv(name, value)
        yield trainer.run("nodes", make_profile(nodes=2, engine="slurm"), rows)


@pytest.fixture
def start(program_trainer: Trainer, two: RunDirectory) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def begin(run: RunDirectory = two) -> subprocess.Popen[str]:
        with run.log.open("a") as log:
            started.append(program_trainer.start(str(run.path), stdout=log, stderr=log))
        return started[-1]

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def find_ranks(run: RunDirectory) -> dict[int, psutil.Process]:
    """The ranks of `run`, on all its nodes, by their numbers."""
    identity = run.read_process()
    if identity is None or not identity.is_alive():
        return {}
    ranks = {}
    for child in psutil.Process(identity.pid).children(recursive=True):
        with suppress(psutil.Error):  # a program that the libraries start ends at any moment
            if "rank" in child.cmdline():
                ranks[int(child.environ()["RANK"])] = child
    return ranks


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, "the trainer has ended"
        time.sleep(0.02)


def test_no_rank_outlives_torchrun(two: RunDirectory, start: Callable[[], subprocess.Popen[str]]) -> None:
    process = start()
    wait_until(lambda: len(find_ranks(two)) == 2, process)
    ranks = [*find_ranks(two).values()]
    identity = two.read_process()
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    process.wait()
    assert psutil.wait_procs(ranks, timeout=GONE_SECONDS)[1] == []
    ended = two.read_exit()
    assert ended is not None and ended.signal == "SIGKILL"


def test_a_stop_while_the_ranks_load_ends_them_all(
    two: RunDirectory, start: Callable[[], subprocess.Popen[str]], trainer: Trainer
) -> None:
    left = Path(trainer.environ[cache.VARIABLE], "ranks")
    assert len([*left.iterdir()]) == 1  # of the torchrun that was killed
    before = len(events(two, "phase"))
    process = start()
    wait_until(lambda: len(events(two, "phase")) > before, process)  # rank 0 loads Unsloth now
    ranks = [*find_ranks(two).values()]
    two.request_stop("save")
    assert process.wait(60) == 0
    assert psutil.wait_procs(ranks, timeout=0)[1] == []
    assert events(two)[-1]["type"] == "stopped"
    assert [*left.iterdir()] == []


def test_a_killed_rank_is_named(two: RunDirectory, start: Callable[[], subprocess.Popen[str]]) -> None:
    process = start()
    wait_until(lambda: events(two, "checkpoint"), process)
    ranks = find_ranks(two)
    ranks[1].kill()
    assert process.wait(60) == 1
    assert psutil.wait_procs([*ranks.values()], timeout=0)[1] == []
    (failed,) = events(two, "failed")
    assert failed["kind"] == "unknown"
    assert failed["message"] == "Rank 1 (CPU) was killed (SIGKILL)."
    assert "Unsloth" in failed["traceback"] and "Unsloth" in two.rank_log(1).read_text()
    assert events(two)[-1] == failed


def test_ranks_agree_to_park_and_equal_one_process_after_it(
    one: RunDirectory, two: RunDirectory, start: Callable[[], subprocess.Popen[str]]
) -> None:
    before = len(events(two, "metrics"))
    process = start()
    wait_until(lambda: len(events(two, "metrics")) > before, process)
    two.request_stop("park")
    wait_until(lambda: events(two, "held"), process)
    (held,) = events(two, "held")
    assert (held["state"], events(two, "started")[-1]["resume_step"] < held["step"] < STEPS) == ("parked", True)
    check_random_states(two, held["step"])

    two.write_request(Request("resume"))
    assert process.wait(120) == 0, two.log.read_text()
    assert events(two)[-1]["type"] == "done"
    numbers = [event["attempt"] for event in events(two, "started")]
    assert numbers == [*range(numbers[0], numbers[0] + 4)] and numbers[0] <= 2  # torchrun was killed before the first
    assert events(two, "started")[-1]["resume_step"] == held["step"]
    assert losses(two) == losses(one)
    assert read_evals(two) == read_evals(one)
    assert count_tokens(two) == count_tokens(one)
    (resolved,) = {json.dumps(each["changed"]) for each in events(two, "resolved")}
    assert "gradient_accumulation_steps" not in resolved
    assert (two.adapter / checkpoints.ADAPTER).read_bytes() == (one.adapter / checkpoints.ADAPTER).read_bytes()


def check_random_states(run: RunDirectory, step: int) -> None:
    """The last checkpoint has the random state of both ranks, and is damaged without one of them."""
    last = checkpoints.find_last_whole(run.checkpoints)
    assert last is not None and last.name == f"checkpoint-{step}"
    assert sorted(path.name for path in last.glob("rng_state*")) == ["rng_state_0.pth", "rng_state_1.pth"]
    (last / "rng_state_1.pth").rename(last / "away")
    assert checkpoints.find_damaged_file(last) == "rng_state_1.pth"
    (last / "away").rename(last / "rng_state_1.pth")


def read_evals(run: RunDirectory) -> dict[int, float]:
    return {event["step"]: event["eval_loss"] for event in events(run, "eval")}


def count_tokens(run: RunDirectory) -> dict[int, int]:
    return {event["step"]: event["tokens"] for event in events(run, "metrics")}


def test_packed_rows_have_the_gradient_of_one_process(program_trainer: Trainer, one: RunDirectory, rows: str) -> None:
    """Ranks pack other rows together than one process does, so the last bits differ, and more with each step."""
    values = make_profile(processes=2).model_dump()
    values["training"]["packing"] = "auto"
    values["checkpoints"]["save_steps"] = STEPS
    packed = program_trainer.run("packed", Profile.model_validate(values), rows)
    assert program_trainer.train(packed) == 0, packed.log.read_text()
    (resolved,) = events(packed, "resolved")
    assert "training.packing" not in resolved["changed"]
    mine, theirs = losses(packed), losses(one)
    for step in (1, 2, 3, 4):
        assert mine[step] == pytest.approx(theirs[step], rel=1e-4)
    assert mine.keys() == theirs.keys() and count_tokens(packed) == count_tokens(one)


def test_the_lock_and_the_adapter_are_of_one_process(two: RunDirectory) -> None:
    names = {path.name for path in two.path.iterdir()}
    assert "rank-1.log" in names and not {"rank-0.log", "rank-2.log"} & names
    assert Path(two.checkpoints / checkpoints.UNFINISHED).exists() is False


def test_no_rank_of_another_node_outlives_the_trainer(
    nodes: RunDirectory, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start(nodes)
    wait_until(lambda: len(find_ranks(nodes)) == 2, process)
    identity = nodes.read_process()
    assert identity is not None
    left = psutil.Process(identity.pid).children(recursive=True)
    os.kill(identity.pid, signal.SIGKILL)
    process.wait()
    assert psutil.wait_procs(left, timeout=GONE_SECONDS)[1] == []


def test_a_killed_process_of_a_node_is_named(nodes: RunDirectory, start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start(nodes)
    wait_until(lambda: len(find_ranks(nodes)) == 2, process)
    ranks = find_ranks(nodes)
    ranks[1].parent().kill()
    assert process.wait(60) == 1
    assert psutil.wait_procs([*ranks.values()], timeout=GONE_SECONDS)[1] == []
    failed = events(nodes)[-1]
    assert failed["message"] == "The trainer's process on node n2 with rank 1 was killed (SIGKILL)."


def test_a_killed_rank_is_named_with_its_node_and_the_resumed_run_equals_one_process(
    one: RunDirectory, nodes: RunDirectory, start: Callable[..., subprocess.Popen[str]]
) -> None:
    process = start(nodes)
    wait_until(lambda: events(nodes, "checkpoint"), process)
    ranks = find_ranks(nodes)
    ranks[1].kill()
    assert process.wait(60) == 1
    assert psutil.wait_procs([*ranks.values()], timeout=GONE_SECONDS)[1] == []
    failed = events(nodes)[-1]
    assert failed["message"] == "Rank 1 (node n2, CPU) was killed (SIGKILL)."
    assert "Unsloth" in failed["traceback"]

    assert start(nodes).wait(120) == 0, nodes.log.read_text()
    assert events(nodes, "started")[-1]["resume_step"] > 0
    assert losses(nodes) == losses(one)
    assert read_evals(nodes) == read_evals(one)
    assert (nodes.adapter / checkpoints.ADAPTER).read_bytes() == (one.adapter / checkpoints.ADAPTER).read_bytes()
