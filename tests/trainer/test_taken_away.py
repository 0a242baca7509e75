"""What others do to a run's files, between its attempts and while it trains, is told and never passed over."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.config_file import read_config, write_config
from support.fake_checkpoint import write_checkpoint
from support.training_runs import Trainer, demo_profile, events

from training.contract import checkpoints
from training.contract.run_directory import RunDirectory

ROW = json.dumps({"instruction": "Who are you?", "response": "A sample."}) + "\n"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(ROW * 3)
    return path


@pytest.fixture
def begun(trainer: Trainer, rows: Path, request: pytest.FixtureRequest) -> RunDirectory:
    """A run on `rows`, with checkpoints of steps 10 and 20."""
    run = trainer.run(request.node.name, demo_profile(), str(rows))
    fingerprint = {"sha256": hashlib.sha256(rows.read_bytes()).hexdigest(), "rows": 3}
    write_config(run, {**read_config(run), "dataset_fingerprint": fingerprint})
    for step in (10, 20):
        write_checkpoint(run.checkpoints, step)
    return run


def told(run: RunDirectory) -> list[str]:
    return [event["message"] for event in events(run, "warning")]


def test_a_resume_does_not_go_on_with_other_rows(trainer: Trainer, begun: RunDirectory, rows: Path) -> None:
    config = begun.config.read_bytes()
    rows.write_text(ROW * 4)
    (begun.checkpoints / "checkpoint-20" / "scheduler.pt").write_bytes(b"PK")
    assert trainer.train(begun) == 1
    started, warned, failed = events(begun)
    assert started["resume_step"] == 10
    assert warned["message"] == (
        "The checkpoint of step 20 is damaged (scheduler.pt). It is now called broken-checkpoint-20. "
        "The run resumes from step 10."
    )
    assert (failed["kind"], failed["step"]) == ("bad_data", 10)
    assert failed["message"] == f"The dataset {rows} has changed since the run began (3 rows then, 4 now)."
    assert f"codex-tui train {begun.profile} --dataset {rows}" in failed["hint"]
    assert begun.config.read_bytes() == config


def test_from_the_start_it_says_that_the_rows_are_others(trainer: Trainer, begun: RunDirectory, rows: Path) -> None:
    rows.write_text(ROW + "{\n")  # a bad row, which ends it soon
    for step in (10, 20):
        (begun.checkpoints / f"checkpoint-{step}" / "optimizer.pt").unlink()
    assert trainer.train(begun) == 1
    *damaged, changed = told(begun)
    assert [text.partition(". ")[0] for text in damaged] == [
        f"The checkpoint of step {step} is damaged (optimizer.pt)" for step in (20, 10)
    ]
    assert all(text.endswith("The run starts over.") for text in damaged)
    assert "(3 rows then, 2 now). The run starts over with the new data." in changed


@pytest.mark.parametrize("name", ["lock", "events.jsonl"])
def test_a_pipe_holds_nobody_up(program_trainer: Trainer, name: str) -> None:
    run = program_trainer.run(f"pipe-{name}", demo_profile())
    os.mkfifo(run.path / name)
    with run.log.open("w") as log:
        assert program_trainer.start(str(run.path), stdout=log, stderr=log).wait(300) == 1
    assert run.log.read_text() == f"{run.path / name}: it is not a file\n"


@pytest.mark.parametrize("how", ["moved", "emptied"])
def test_a_run_whose_folder_is_gone_is_not_trained_unseen(program_trainer: Trainer, how: str) -> None:
    run = program_trainer.run(how, demo_profile())
    process = program_trainer.start(str(run.path), stderr=subprocess.PIPE)
    while not events(run, "phase"):
        time.sleep(0.02)
    if how == "moved":
        run.path.rename(run.path.with_name("elsewhere"))
        run.path.mkdir()  # as a library does that writes into it
    else:  # by an `rm -r` that an event got in the way of
        for path in run.path.iterdir():
            path.unlink()
    _, complaint = process.communicate(timeout=300)
    assert process.returncode == 1
    assert f"{run.path} was moved or deleted" in complaint


def start_training(trainer: Trainer, run: RunDirectory) -> subprocess.Popen[str]:
    """Start the trainer of `run`, and wait until it has logged a step."""
    with run.log.open("a") as log:
        process = trainer.start(str(run.path), stdout=log, stderr=log)
    while not events(run, "metrics"):
        assert process.poll() is None, run.log.read_text()
        time.sleep(0.02)
    return process


def rename_while_it_sleeps(run: RunDirectory, name: str, *, stop: bool) -> RunDirectory:
    """Rename the run between two steps of its trainer, right after a stop request if `stop`."""
    identity = run.read_process()
    assert identity is not None
    os.kill(identity.pid, signal.SIGSTOP)
    if stop:
        run.request_stop()
    renamed = RunDirectory(run.path.rename(run.path.with_name(name)))
    os.kill(identity.pid, signal.SIGCONT)
    return renamed


def test_a_run_that_is_renamed_while_a_stop_is_pending_is_saved_under_its_new_name(trainer: Trainer) -> None:
    run = trainer.run("car", demo_profile(training={"max_steps": 100_000}))
    process = start_training(trainer, run)
    renamed = rename_while_it_sleeps(run, "car-renamed", stop=True)
    assert process.wait(300) == 0, renamed.log.read_text()
    assert not run.path.exists(), list(run.path.rglob("*"))
    stopped = events(renamed)[-1]
    assert stopped["type"] == "stopped"
    last = renamed.checkpoints / f"checkpoint-{stopped['step']}"
    assert checkpoints.find_last_whole(renamed.checkpoints) == last
    assert events(renamed, "checkpoint")[-1]["path"] == f"checkpoints/{last.name}"
    assert renamed.has_adapter()
    assert told(renamed) == ["The run was renamed while it trained."]
    exit_ = renamed.read_exit()
    assert exit_ is not None and exit_.code == 0
    assert not renamed.reserve.exists()


def test_a_run_that_is_renamed_goes_on_and_saves_under_its_new_name(trainer: Trainer) -> None:
    run = trainer.run("van", demo_profile(training={"max_steps": 60}, checkpoints={"save_steps": 30}))
    process = start_training(trainer, run)
    renamed = rename_while_it_sleeps(run, "van-renamed", stop=False)
    assert process.wait(300) == 0, renamed.log.read_text()
    assert not run.path.exists(), list(run.path.rglob("*"))
    assert events(renamed)[-1]["type"] == "done"
    assert [event["seq"] for event in events(renamed)] == list(range(len(events(renamed))))
    assert checkpoints.is_whole(renamed.checkpoints / "checkpoint-60")
    assert renamed.has_adapter()
