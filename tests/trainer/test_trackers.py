"""Trackers: one that fails never ends a run or changes what is learned, and a resume continues the same curves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.training_runs import Trainer, demo_profile, events

from codex_tui.environment.trackers import find_versions
from training.contract.run_directory import RunDirectory
from training.contract.trackers import VARIABLE, Tracker, read_tracked_runs

READ_TENSORBOARD = """
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
curves = EventAccumulator(sys.argv[1]).Reload()
names = ("train/loss", "eval/loss", "train/tokens_per_second", "train/host_mib")
print(json.dumps({name: [[one.step, round(one.value, 4)] for one in curves.Scalars(name)] for name in names}))
"""
READ_TRACKIO = """
import json, sys
from trackio.sqlite_storage import SQLiteStorage
runs = SQLiteStorage.get_runs(sys.argv[1])
print(json.dumps({name: SQLiteStorage.get_logs(sys.argv[1], name) for name in runs}))
"""


def test_a_tracker_that_fails_is_left_out_and_changes_nothing(trainer: Trainer) -> None:
    seen = trainer.run_program("trackers", "fail", str(trainer.folder / "failing-trackers"))
    missing, broken, quits, missing_again = seen["warnings"]
    folder = trainer.folder / "failing-trackers" / "trackers"
    problem = f"A resume begins new curves in the trackers, because {folder} can't be written: File exists."
    assert seen["unwritten"] == [True, problem]
    assert missing_again == missing
    assert missing == (
        "MLflow gets no more of this run, which goes on (it is not installed; codex-tui setup --with mlflow)."
    )
    assert broken == "Trackio gets no more of this run, which goes on (ValueError: disk hf_… is full)."
    assert quits == "Weights & Biases gets no more of this run, which goes on (SystemExit: no login)."
    assert [log["step"] for log in seen["good"]] == [1, 2, 3, 3]
    name, name_of_the_resume = seen["names"]
    assert name == name_of_the_resume and name.startswith("failing-trackers-20")
    assert seen["good"][1] == {
        "step": 2, "run": name, "project": "p", "loss": 0.5, "tokens_per_second": 20.0, "host_mib": 5.0,
    }  # fmt: skip
    assert seen["good"][3]["eval_pass_rate"] == 0.25
    assert (seen["broken"], seen["quits"], seen["ended"]) == ([1], [1, 2], [True, False, False])
    assert seen["same_random_state"] and seen["no_trackers"]
    assert seen["args"] == ["x", "y"]
    assert seen["tracked"] == ["tensorboard", "trackio", "wandb"]


def read(python: Path, program: str, *arguments: str, **environ: str) -> dict[str, list[object]]:
    command = [str(python), "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environ}, cwd="/")
    answer: dict[str, list[object]] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_a_killed_run_continues_its_curves_and_learns_the_same(
    program_trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[Tracker] = ["tensorboard", "trackio"]
    if lacking := [name for name in wanted if find_versions(program_trainer.python)[name] is None]:
        pytest.skip(f"{', '.join(lacking)} not installed: codex-tui setup --with {','.join(lacking)}")
    store = program_trainer.folder / "tracker-store"
    monkeypatch.setenv(VARIABLE, str(store))
    training = {"max_steps": 8, "logging_steps": 1}
    runs: list[RunDirectory] = []
    for name, to in (("plain", []), ("tracked", wanted)):
        profile = demo_profile(training=training, checkpoints={"save_steps": 4}, tracking={"to": to, "project": "demo"})
        run = program_trainer.run(f"trackers-{name}", profile)
        runs.append(run)
        if to:
            with run.log.open("a") as log:
                process = program_trainer.start(str(run.path), stdout=log, stderr=log)
            while not any(event["step"] >= 6 for event in events(run, "metrics")):
                assert process.poll() is None, run.log.read_text()
                time.sleep(0.01)
            identity = run.read_process()
            assert identity is not None
            os.kill(identity.pid, signal.SIGKILL)
            process.wait()
        assert program_trainer.train(run) == 0, run.log.read_text()
        assert not events(run, "warning")
    plain, tracked = runs
    weights = [(run.adapter / "adapter_model.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]
    losses = {event["step"]: event["loss"] for event in events(plain, "metrics")}
    where = read_tracked_runs(tracked)
    assert where["tensorboard"].place == str(tracked.trackers / "tensorboard")
    curves = read(program_trainer.python, READ_TENSORBOARD, where["tensorboard"].place)
    assert curves["train/loss"] == [[step, round(loss, 4)] for step, loss in losses.items()]
    assert [step for step, _ in curves["train/tokens_per_second"]] == list(losses)  # type: ignore[misc]
    assert curves["eval/loss"] and curves["train/host_mib"]
    logs = read(program_trainer.python, READ_TRACKIO, "demo", TRACKIO_DIR=where["trackio"].place)
    assert list(logs) == [where["trackio"].name] and where["trackio"].name.startswith("trackers-tracked-")
    rows = [row for row in logs[where["trackio"].name] if isinstance(row, dict) and "train/loss" in row]
    assert {row["train/global_step"]: row["train/loss"] for row in rows if row["train/global_step"] > 4} == {
        step: loss for step, loss in losses.items() if step > 4
    }
