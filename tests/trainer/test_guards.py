"""What ends or pauses a run before it does harm, what a run leaves when it is killed or the disk is full."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.config_file import read_config, write_config
from support.disks import mounted
from support.training_runs import Trainer, demo_profile, events

from codex_tui.runs.follower import snapshot
from training.contract.run_directory import RunDirectory


def test_a_hot_card_is_saved_for_and_waited_for(trainer: Trainer) -> None:
    fine, hot, dip, gone, stopped, warm_place, slow = trainer.run_program("guards", "pause_when_hot")
    message = (
        "The GPU reached {} °C at step 7. That saves the run, and pauses it until the GPU stays at 77 °C "
        "(hardware.pause_above_celsius)."
    )
    assert fine == [False, [], [], [], 0]
    assert hot == [True, [message.format(86)], ["cooling", "training"], [80, 78, 77, 76], 21]
    assert dip[3:] == [[70, 79, 76, 76], 21]  # cool for a moment is not cool
    assert gone == [True, [message.format(90)], ["cooling", "training"], [89], 1]
    assert stopped == [True, [message.format(90)], ["training"], [], 0]
    assert warm_place[4] == 300  # it won't get cooler than 80 here
    assert slow[4] == 302


def test_the_time_of_a_pause_a_checkpoint_a_book_or_an_answer_is_no_part_of_a_step(trainer: Trainer) -> None:
    figures, saved, phases = trainer.run_program("reporter", "report_speed", "1")
    assert figures == [[step, 500] for step in range(1, 7)]
    assert saved == [[2, 20]]
    paused = ["saving", "cooling", "training", "evaluating", "training", "answering", "training", "evaluating"]
    assert phases == ["training", *paused]
    figures, saved, phases = trainer.run_program("reporter", "report_speed", "4")
    assert figures == [[4, 500], [6, 500]]  # the last step is logged too
    assert saved == [[2, 20]]


def test_a_loss_that_is_lost_ends_the_run_and_is_not_saved(trainer: Trainer) -> None:
    lost, found_again, at_once, exploded, jump, learned = trainer.run_program("guards", "watch_losses")
    assert lost == ["nan_loss", "The loss was NaN or infinite from step 13 to step 15.", [*range(1, 13)]]
    assert found_again == [None, "", [1, 3, 6]]
    assert at_once == ["nan_loss", "The loss was NaN or infinite at step 1.", []]
    assert exploded[:2] == ["nan_loss", "The loss exploded from step 13 to step 15: 99, where 2 is usual."]
    assert jump[0] == "nan_loss"
    assert learned[0] is None  # no higher than it was at the start: odd rows, not an explosion


def test_a_run_that_gets_no_better_ends_with_its_best_adapter(trainer: Trainer) -> None:
    settings = {"max_steps": 60, "learning_rate": 0.05, "warmup_steps": 0, "lr_scheduler_type": "constant"}
    profile = demo_profile(
        training=settings,
        evaluation={"eval_steps": 2, "patience": 2},
        checkpoints={"save_steps": 4, "save_total_limit": 1},
    )
    run = trainer.run("patience", profile)
    assert trainer.train(run) == 0, run.log.read_text()
    evals = {event["step"]: event["eval_loss"] for event in events(run, "eval")}
    best = min(evals, key=lambda step: (evals[step], step))
    [ended] = [event["message"] for event in events(run, "warning") if "evaluation.patience" in event["message"]]
    assert f"that of step {best}." in ended
    assert max(evals) == events(run)[-1]["step"] < 60
    assert sorted(evals)[-3] == best
    kept = {path.name for path in run.checkpoints.glob("checkpoint-*")}
    assert kept == {f"checkpoint-{best}", f"checkpoint-{max(evals)}"}
    sums = [hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()
            for folder in (run.adapter, run.checkpoints / f"checkpoint-{best}")]  # fmt: skip
    assert sums[0] == sums[1]
    assert events(run)[-1]["adapter_step"] == best
    assert f"| weights of step | {best} |" in (run.adapter / "README.md").read_text()


def test_how_a_killed_trainer_ended_is_known(program_trainer: Trainer) -> None:
    run = program_trainer.run("killed", demo_profile())
    with run.log.open("a") as log:
        parent = program_trainer.start(str(run.path), stdout=log, stderr=log)
    while not events(run, "metrics") and parent.poll() is None:
        time.sleep(0.05)
    identity = run.read_process()
    assert identity is not None
    assert identity.pid != parent.pid
    parent.send_signal(signal.SIGHUP)  # of a terminal that closes: no request
    os.kill(identity.pid, signal.SIGKILL)
    assert parent.wait(300) == 128 + signal.SIGKILL
    watched = snapshot(run)
    assert watched.status == "lost"
    assert (watched.reason, watched.state.pid) == (
        f"Killed at step {watched.state.step} by SIGKILL; memory had not run out.",
        identity.pid,
    )
    run.write_process(type(identity)(identity.pid + 1, 0.0))
    assert run.read_exit() is None  # it was another process that ended so


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=10m") as folder:
        yield folder


def test_a_full_disk_is_named_and_what_was_whole_stays_whole(trainer: Trainer, small_disk: Path) -> None:
    profile = demo_profile(checkpoints={"save_steps": 2, "save_total_limit": 20}, training={"max_steps": 60})
    run = Trainer(trainer.python, small_disk).run("full", profile)
    assert trainer.train(run) == 1
    failed = events(run)[-1]
    assert (failed["type"], failed["kind"]) == ("failed", "disk_full"), failed
    whole = sorted(int(path.name.split("-")[1]) for path in run.checkpoints.glob("checkpoint-*"))
    assert whole == [event["step"] for event in events(run, "checkpoint")]
    assert len(whole) >= 1
    assert not list(run.checkpoints.glob(".unfinished"))
    for path in run.checkpoints.glob(f"checkpoint-{whole[0]}"):
        subprocess.run(["rm", "-r", str(path)], check=True)  # room
    again = RunDirectory(run.path)
    shorter = demo_profile(training={"max_steps": whole[-1] + 1}, checkpoints={"save_steps": 50})
    write_config(again, read_config(again) | {"profile": shorter.model_dump()})
    assert trainer.train(again) == 0, run.log.read_text()
    assert events(again, "started")[-1]["resume_step"] == whole[-1]
