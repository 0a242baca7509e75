"""The real trainer finds no memory in step 5, or hangs there, and its keeper lets the run continue by itself."""

from __future__ import annotations

import os
from typing import Any

import pytest
from support.config_file import read_config
from support.programs import PROGRAMS
from support.training_runs import Trainer, demo_profile, events, losses

from training.contract.run_directory import RunDirectory

STEPS = 8
PROFILE: dict[str, Any] = {
    "training": {"max_steps": STEPS},
    "dataset": {"eval_fraction": 0.0},
    "checkpoints": {"save_steps": 3},
    "lora": {"lora_dropout": 0.1},
}


class BreakingTrainer(Trainer):
    """Its trainers break in step 5: the first one hangs, the second one finds no memory; see programs/breaking."""

    @property
    def environ(self) -> dict[str, str]:
        environ = super().environ
        path = os.pathsep.join([str(PROGRAMS / "breaking"), environ["PYTHONPATH"]])
        return environ | {"PYTHONPATH": path}


@pytest.fixture(scope="module")
def whole(trainer: Trainer) -> RunDirectory:
    """The run that nothing breaks."""
    run = trainer.run("heal-whole", demo_profile(**PROFILE))
    assert trainer.train(run) == 0, run.log.read_text()
    return run


@pytest.fixture(scope="module")
def healed(trainer: Trainer) -> RunDirectory:
    breaking = BreakingTrainer(trainer.python, trainer.folder, trainer.cache, is_new_program=True)
    run = breaking.run("heal-broken", demo_profile(**PROFILE))
    assert breaking.train(run) == 0, run.log.read_text()
    return run


def test_a_trainer_that_hangs_is_ended_and_the_run_continues(healed: RunDirectory) -> None:
    hang = events(healed, "healed")[0]
    assert (hang["kind"], hang["step"], hang["failed_step"], hang["changes"]) == ("hang", 3, 5, {})
    assert hang["reason"].startswith("No step for ") and hang["reason"].endswith("; the process was idle.")
    assert events(healed, "held")[0]["reason"] == hang["reason"]


def test_a_run_without_memory_continues_with_less_and_names_the_row(healed: RunDirectory) -> None:
    [failed] = events(healed, "failed")
    heal = events(healed, "healed")[1]
    held = events(healed, "held")[1]
    assert (held["state"], held["reason"], held["step"]) == ("healing", failed["message"], 3)
    assert (heal["kind"], heal["step"], heal["failed_step"]) == ("gpu_memory", 3, 5)
    assert heal["changes"] == {"training.loss_tile_mib": [256, 16]}
    # The demo packs its rows. The longest row of the pass that failed is named as an editor counts its lines.
    assert heal["file"] == "zombie_waves.jsonl" and 1 <= heal["line"] <= 440 and heal["tokens"] > 16
    place = f"line {heal['line']} of zombie_waves.jsonl"
    assert heal["reason"] == f"GPU memory ran out in step 5, at {place} with {heal['tokens']} tokens."
    assert f"its longest row is {place}" in failed["message"]
    config = read_config(healed)
    assert config["healed"] == {"training.loss_tile_mib": 16}
    assert config["profile"]["training"]["loss_tile_mib"] == 256
    assert config["actual"]["training"]["loss_tile_mib"] == 16


def test_a_healed_run_ends_as_if_nothing_had_happened(healed: RunDirectory, whole: RunDirectory) -> None:
    """Losses, gradient norms and the adapter to the last bit: on the CPU, this remedy rounds nothing otherwise."""
    assert [event["resume_step"] for event in events(healed, "started")] == [0, 3, 3]
    assert events(healed)[-1]["type"] == "done"
    assert losses(healed) == losses(whole)
    name = "adapter_model.safetensors"
    assert (healed.adapter / name).read_bytes() == (whole.adapter / name).read_bytes()
