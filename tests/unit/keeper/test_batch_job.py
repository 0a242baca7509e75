"""The keeper's job of Slurm, with a scontrol that answers what the test says. tests/engines asks the real one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.kept_runs import make_run

from training.contract import events as ev
from training.contract.card_queue import NOW
from training.contract.control import Request
from training.contract.engine import EngineRecord
from training.contract.event_writer import EventWriter
from training.contract.run_directory import RunDirectory
from training.contract.slurm import JOB_VARIABLE
from training.keeper import batch_job
from training.keeper.batch_job import BatchJob
from training.keeper.decisions import Finish
from training.keeper.watchers import Moment

REFUSED = "echo 'Requested operation is presently disabled for job 7' >&2; exit 1"
SILENT = "echo 'Unable to contact slurm controller (connect failure)' >&2; exit 1"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "run")


@pytest.fixture(autouse=True)
def own_handlers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)}
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def answer(folder: Path, script: str) -> None:
    program = folder / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\n{script}\n')
    program.chmod(0o700)


def read_questions(folder: Path) -> list[str]:
    asked = folder / "asked"
    return asked.read_text().splitlines() if asked.exists() else []


def find_job(run: RunDirectory, monkeypatch: pytest.MonkeyPatch, restarts: str = "") -> BatchJob:
    monkeypatch.setenv(JOB_VARIABLE, "7")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
    job = BatchJob.find(run)
    assert job is not None and JOB_VARIABLE not in os.environ  # it is for this process alone
    return job


def save(run: RunDirectory, step: int) -> None:
    (run.checkpoints / f"checkpoint-{step}").mkdir(parents=True)


def warn(job: BatchJob, run: RunDirectory, *, trains: bool = True) -> None:
    """Let the time limit come while a trainer runs."""
    moment = Moment(run, 0.0, 0.0, 1 if trains else None, 1)
    assert job.look(moment) is None
    os.kill(os.getpid(), signal.SIGUSR1)
    hold = job.look(moment)
    assert hold is not None and (hold.state, hold.reason) == ("waiting", batch_job.TIME_LIMIT)


def test_a_job_that_a_person_has_made_is_not_started_again(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    assert BatchJob.find(run) is None
    monkeypatch.setenv(JOB_VARIABLE, "7")  # inherited from another job
    assert BatchJob.find(run) is None


def test_a_run_that_got_further_leaves_before_the_limit(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = find_job(run, monkeypatch)
    answer(tmp_path, "exit 0")
    assert job.leave(run, is_by_hand=False) is None and not read_questions(tmp_path)
    warn(job, run)
    save(run, 3)
    assert job.leave(run, is_by_hand=False) == Finish()
    assert read_questions(tmp_path) == ["requeue 7"]


def test_a_job_too_short_for_a_step_is_not_tried_again_for_ever(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(run, 3)
    job = find_job(run, monkeypatch, restarts="1")
    answer(tmp_path, "exit 0")
    warn(job, run)
    assert job.leave(run, is_by_hand=False) == Finish(batch_job.TOO_SHORT)
    assert not read_questions(tmp_path)


def test_a_run_that_was_held_for_the_whole_job_waits_for_the_next(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = find_job(run, monkeypatch)
    answer(tmp_path, "exit 0")
    warn(job, run, trains=False)
    assert job.leave(run, is_by_hand=False) == Finish()


def test_a_controller_that_does_not_answer_is_asked_again(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_job, "TRY_AGAIN_SECONDS", 0.0)
    job = find_job(run, monkeypatch)
    warn(job, run)
    save(run, 3)
    answer(tmp_path, SILENT)
    assert job.leave(run, is_by_hand=False) is None
    answer(tmp_path, "exit 0")
    assert job.leave(run, is_by_hand=False) == Finish()


def test_a_job_that_may_not_return_ends_at_the_limit_and_keeps_a_parked_run_until_then(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_job, "TRY_AGAIN_SECONDS", 0.0)
    job = find_job(run, monkeypatch)
    answer(tmp_path, REFUSED)
    save(run, 3)
    for _ in range(2):
        assert job.leave(run, is_by_hand=True) is None
    assert read_questions(tmp_path) == ["requeuehold 7"]  # once
    warn(job, run)
    assert job.leave(run, is_by_hand=True) == Finish(ev.Stopped(step=3))


@pytest.mark.parametrize(("limit_comes", "reason"), [(False, ""), (True, ""), (False, NOW)])
def test_a_parked_run_waits_for_its_person_in_the_queue_too(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_comes: bool, reason: str
) -> None:
    job = find_job(run, monkeypatch)
    answer(tmp_path, "exit 0")
    if limit_comes:
        warn(job, run)
        save(run, 3)
    assert job.leave(run, is_by_hand=True) == Finish()
    run.write_request(Request("resume", reason))
    assert job.leave(run, is_by_hand=True) == Finish()
    assert read_questions(tmp_path) == ["requeuehold 7", "requeuehold 7", "release 7"]


@pytest.mark.parametrize(("restarts", "goes_on"), [(2, True), (1, False)])
def test_a_sigterm_of_slurm_is_the_end_unless_the_job_is_started_again(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarts: int, goes_on: bool
) -> None:
    job = find_job(run, monkeypatch, restarts="1")
    answer(tmp_path, f"echo 'JobId=7 JobState=COMPLETING Requeue=1 Restarts={restarts} BatchFlag=1'")
    save(run, 3)
    job.ask_to_stop(run, 1)
    assert run.read_stop_request() == "save"
    loss = job.find_loss(run)
    if goes_on:
        assert loss == Finish(ev.Held(state="waiting", reason=batch_job.TAKEN, ends=batch_job.ENDS, step=3))
        assert run.read_stop_request() is None  # the next keeper would stop for it
    else:
        assert loss is None
    job.ask_to_stop(run, 2)
    assert run.read_stop_request() == "terminate"


def test_a_run_that_a_person_stops_does_not_go_on(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = find_job(run, monkeypatch)
    answer(tmp_path, "echo Restarts=1")
    run.request_stop("save")
    job.ask_to_stop(run, 1)
    assert job.find_loss(run) is None
    assert run.read_stop_request() == "save"


@pytest.mark.parametrize(
    ("event", "ended"),
    [(ev.Done(step=3), True), (ev.Stopped(step=3), True), (ev.Held(state="waiting", reason="r"), False), (None, False)],
)
def test_a_job_that_is_started_after_the_end_of_the_run_has_nothing_to_do(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, event: ev.Event | None, ended: bool
) -> None:
    writer = EventWriter(run.events)
    writer.emit(ev.Started(attempt=1, pid=1))
    if event:
        writer.emit(event)
    writer.close()
    assert not find_job(run, monkeypatch).has_nothing_to_do(run)  # a resume is a new job
    assert find_job(run, monkeypatch, restarts="1").has_nothing_to_do(run) is ended
    run.write_engine(EngineRecord("slurm", job="7", offset=run.events.stat().st_size, attempt=2))
    assert not find_job(run, monkeypatch, restarts="1").has_nothing_to_do(run)  # its resume lost its node at once
