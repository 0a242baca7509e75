"""How a run ends when it can't train: each failure with its name, and nothing disturbed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from support.config_file import read_config, write_config
from support.training_runs import Trainer, demo_profile, events, find_token_helpers, write_many_rows

from training.contract.run_directory import RunDirectory

GOOD = json.dumps({"instruction": "Who are you?", "response": "A sample."})


def test_bad_rows_are_refused_with_their_lines(program_trainer: Trainer, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join([GOOD, "{", *["[]"] * 12, GOOD]))
    run = program_trainer.run("bad-rows", demo_profile(), str(rows))
    assert program_trainer.train(run) == 1
    failed = events(run)[-1]
    assert (failed["type"], failed["kind"]) == ("failed", "bad_data")
    assert "13 bad rows" in failed["message"]
    assert "line 2:" in failed["message"]
    assert "line 11:" in failed["message"]
    assert "line 12:" not in failed["message"]
    assert "on_bad_rows" in failed["hint"]
    assert "Traceback" in failed["traceback"]
    assert failed["traceback"] in run.log.read_text()


def test_a_model_that_is_not_there_is_named(program_trainer: Trainer) -> None:
    run = program_trainer.run("no-model", demo_profile(model={"name": "/nowhere/a-model"}))
    assert program_trainer.train(run) == 1
    failed = events(run)[-1]
    assert failed["kind"] == "model_not_found"
    assert "/nowhere/a-model" in failed["message"]


def test_a_config_that_makes_no_sense_is_named(program_trainer: Trainer) -> None:
    run = program_trainer.run("no-sense", demo_profile())
    write_config(run, {**read_config(run), "profile": {"model": {"name": "demo:llama", "colour": "red"}}})
    assert program_trainer.train(run) == 1
    failed = events(run)[-1]
    assert failed["kind"] == "bad_config"
    assert "model.colour" in failed["message"]


def test_a_run_is_trained_by_one_process_only(program_trainer: Trainer) -> None:
    run = program_trainer.run("locked", demo_profile())
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert program_trainer.train(run) == 1
    assert "another process is training this run" in run.log.read_text()
    assert not run.events.exists()
    assert run.read_process() is None


@pytest.mark.parametrize("how", ["control", "signal"])
def test_a_stop_before_the_first_step_ends_at_once(program_trainer: Trainer, tmp_path: Path, how: str) -> None:
    run = program_trainer.run(f"early-{how}", demo_profile(), write_many_rows(tmp_path / "rows.jsonl"))
    run.request_stop("save")
    stale = run.control.stat().st_mtime - 3600  # meant for an earlier attempt: it must not stop this one
    os.utime(run.control, (stale, stale))
    with run.log.open("a") as log:
        process = program_trainer.start(str(run.path), stdout=log, stderr=log)
        _wait_for(run, '"Unsloth"')
        assert run.read_stop_request() is None
        process.send_signal(signal.SIGHUP)  # a closed terminal is no request
        process.send_signal(signal.SIGINT)
        helpers = find_token_helpers(process)
        assert len(helpers) == (len(os.sched_getaffinity(0)) > 1)
        if how == "control":
            run.request_stop("terminate")
        else:
            process.send_signal(signal.SIGTERM)
        assert process.wait(300) == 0
    assert psutil.wait_procs(helpers, 60)[1] == []
    stopped = events(run)[-1]
    assert (stopped["type"], stopped["step"], stopped["resumable"]) == ("stopped", 0, False)


def _wait_for(run: RunDirectory, text: str) -> None:
    while not run.events.exists() or text not in run.events.read_text():
        time.sleep(0.02)


def test_what_is_no_run_is_refused(program_trainer: Trainer, tmp_path: Path) -> None:
    assert program_trainer.start(str(tmp_path)).wait(300) == 1
    assert program_trainer.start().wait(300) == 2
