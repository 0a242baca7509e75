"""Runs with a deadline, on the real trainer with clocks that are made up: each step takes ten seconds."""

from __future__ import annotations

import shutil

import pytest
from support.config_file import read_config, write_config
from support.training_runs import Trainer, demo_profile, events, losses

from training.contract.run_directory import RunDirectory

STEPS, WARMUP = 60, 4
UNTIL = 300.0
TABLES = {
    "dataset": {"eval_fraction": 0.0},
    "training": {"max_steps": STEPS, "warmup_steps": WARMUP, "lr_scheduler_type": "linear", "learning_rate": 3e-3},
    "launch": {"probe": False},
}


def make_run(trainer: Trainer, name: str, until: float | None = None, max_hours: float | None = None) -> RunDirectory:
    tables = TABLES | {"training": TABLES["training"] | {"max_hours": max_hours}}
    run = trainer.run(name, demo_profile(**tables))
    write_config(run, read_config(run) | ({"until": until} if until is not None else {}))
    return run


def train(trainer: Trainer, run: RunDirectory, *, slow_step: int = 0, stop_after: int = 0) -> int:
    code: int = trainer.run_program("time_limits", "train", str(run.path), str(slow_step), str(stop_after))
    return code


@pytest.fixture(scope="module")
def unlimited(trainer: Trainer) -> RunDirectory:
    run = make_run(trainer, "unlimited")
    assert train(trainer, run) == 0
    return run


@pytest.fixture(scope="module")
def fitted(trainer: Trainer) -> RunDirectory:
    run = make_run(trainer, "fitted", UNTIL)
    assert train(trainer, run) == 0
    return run


def test_a_run_that_fits_is_the_run_without_a_limit_bit_for_bit(trainer: Trainer, unlimited: RunDirectory) -> None:
    run = make_run(trainer, "generous", until=900.0)
    assert train(trainer, run) == 0
    assert losses(run) == losses(unlimited)
    assert [(event["total_steps"], event["deadline"]) for event in events(run, "fitted")] == [(STEPS, 900.0)]
    assert events(run)[-1]["reason"] == ""
    assert events(unlimited, "fitted") == []
    assert read_adapter(run) == read_adapter(unlimited)


def test_the_run_is_fitted_and_its_rate_reaches_the_end(fitted: RunDirectory, unlimited: RunDirectory) -> None:
    last = events(fitted, "fitted")[-1]
    total = last["total_steps"]
    assert 24 <= total <= 28  # 300 seconds less the end, with a step of three times the usual
    assert (last["planned_steps"], last["deadline"], last["rows"]) == (STEPS, UNTIL, 8 * total)
    done = events(fitted)[-1]
    assert (done["type"], done["step"]) == ("done", total)
    assert done["reason"].startswith("The deadline, 19")
    assert done["reason"].endswith(f", ended it after {total} of 60 planned steps.")
    rates = [rate for _, _, rate in losses(fitted).values()]
    planned = [rate for _, _, rate in losses(unlimited).values()]
    assert len(rates) == total
    assert rates[:WARMUP] == planned[:WARMUP]
    assert max(rates) == planned[WARMUP]
    assert rates[-1] <= 3e-3 / 15
    falls = [before - after for before, after in zip(rates[WARMUP:], rates[WARMUP + 1 :], strict=False)]
    assert all(0 < fall < 3e-3 / 10 for fall in falls)
    assert fitted.has_adapter()


def test_the_adapter_is_saved_before_the_last_checkpoint_and_after_it(fitted: RunDirectory) -> None:
    after = [event for event in events(fitted) if event["type"] in ("phase", "checkpoint")][-4:]
    assert [event.get("detail", event["type"]) for event in after] == ["adapter", "checkpoint", "checkpoint", "adapter"]


def test_a_resume_continues_the_fitted_run_bit_for_bit(trainer: Trainer, fitted: RunDirectory) -> None:
    run = make_run(trainer, "resumed", UNTIL)
    assert train(trainer, run, stop_after=16) == 0
    assert events(run)[-1]["type"] == "stopped"
    assert train(trainer, run) == 0
    assert losses(run) == losses(fitted)
    assert read_adapter(run) == read_adapter(fitted)


def test_a_run_that_slept_past_its_deadline_ends_with_its_step(trainer: Trainer) -> None:
    run = make_run(trainer, "slept", UNTIL)
    assert train(trainer, run, slow_step=9) == 0
    assert (events(run)[-1]["type"], events(run)[-1]["step"]) == ("done", 9)
    assert run.has_adapter()


def test_a_run_that_was_interrupted_past_its_deadline_is_done_without_the_model(trainer: Trainer) -> None:
    run = make_run(trainer, "late", max_hours=1.0)
    assert train(trainer, run, stop_after=5) == 0
    assert events(run)[-1] | {"seq": 0, "time": 0} == {"type": "stopped", "v": 1, "seq": 0, "time": 0, "step": 6,
                                                       "resumable": True}  # fmt: skip
    weights = read_adapter(run)
    shutil.rmtree(run.adapter)  # as if the trainer had been killed
    write_config(run, read_config(run) | {"until": 61.0})
    assert train(trainer, run) == 0
    *_, phase, done = events(run)
    assert (phase["name"], phase["detail"]) == ("saving", "adapter")
    assert (done["type"], done["step"]) == ("done", 6)
    assert done["reason"].endswith(", ended it after 6 of 60 planned steps.")
    assert [event["name"] for event in events(run, "phase")].count("training") == 1
    assert read_adapter(run) == weights
    assert "tokenizer.json" in {path.name for path in run.adapter.iterdir()}
    assert "optimizer.pt" not in {path.name for path in run.adapter.iterdir()}
    assert "| steps | 6 of 60 |" in (run.adapter / "README.md").read_text()


def test_a_deadline_before_the_first_step_is_said_with_what_to_do(trainer: Trainer) -> None:
    run = make_run(trainer, "never", until=-5.0)
    assert train(trainer, run) == 1
    failed = events(run)[-1]
    assert failed["kind"] == "bad_config"
    assert failed["message"].endswith(", came before the first step of the run.")
    assert failed["hint"] == "Give it more time, as in: codex-tui resume RUN --until +8h"


def read_adapter(run: RunDirectory) -> bytes:
    return (run.adapter / "adapter_model.safetensors").read_bytes()
