"""A run whose rows a helper process tokenises while the trainer imports Unsloth."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from support.training_runs import Trainer, demo_profile, events, find_token_helpers, write_many_rows

from training.contract import cache

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a helper needs a core of its own")


def test_rows_are_tokenised_once_and_no_helper_outlives_its_trainer(trainer: Trainer, tmp_path: Path) -> None:
    profile = demo_profile(
        dataset={"max_eval_rows": 2}, training={"max_steps": 1}, evaluation={"sample_max_new_tokens": 1}
    )
    run = trainer.run("helped", profile, write_many_rows(tmp_path / "rows.jsonl"))
    folder = Path(trainer.environ[cache.VARIABLE], "datasets")
    kept = {*folder.glob("*.tokens")}
    with run.log.open("a") as log:
        process = trainer.start(str(run.path), stdout=log, stderr=log)
    while not (helpers := find_token_helpers(process)):
        assert process.poll() is None
        time.sleep(0.02)
    identity = run.read_process()
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    process.wait()
    assert psutil.wait_procs(helpers, 60)[1] == []
    assert {*folder.glob("*.tokens")} <= kept

    assert trainer.train(run) == 0, run.log.read_text()
    phases = [event for event in events(run, "phase") if event["name"] == "tokenising"]
    assert phases[-1]["detail"] == "from the cache"
    assert [event["detail"] for event in phases[:-1]] == [""] * (len(phases) - 1)
    assert len({*folder.glob("*.tokens")} - kept) == 1
    assert "by itself" not in run.log.read_text()
