"""Packed rows teach what the same rows teach one by one."""

from __future__ import annotations

from typing import Any

import pytest
from support.training_runs import Trainer, demo_profile, events, losses

from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory

ROUNDING = 1e-5  # of the largest gradient; in float32 the sums have another order


@pytest.fixture(scope="module")
def compared(trainer: Trainer) -> Any:
    return trainer.run_program("packing", "compare")


def test_a_step_has_the_same_rows_in_fewer_passes(compared: Any) -> None:
    assert compared["same_rows"]
    assert compared["steps"][0] == compared["steps"][1]
    assert len(compared["passes"]) == compared["fewest_passes"] < 12
    assert max(compared["passes"]) <= 3 * 64


def test_loss_and_gradients_are_those_of_single_rows(compared: Any) -> None:
    loss = compared["loss"]
    assert loss["packed"] == pytest.approx(loss["alone"], rel=1e-6)
    assert loss["packed"] == pytest.approx(loss["padded"], rel=1e-6)
    assert compared["largest_gradient"] > 0.01
    for difference in compared["difference"].values():
        assert difference < ROUNDING * compared["largest_gradient"]


def test_an_evaluation_has_the_same_loss_in_fewer_passes(compared: Any) -> None:
    packed, padded = compared["eval_loss"]
    assert packed == pytest.approx(padded, rel=1e-6)
    assert compared["eval_passes"] == compared["fewest_eval_passes"] < 10


def test_rows_that_see_each_other_would_be_noticed(compared: Any) -> None:
    """With a key-value cache, transformers drops the mask between packed rows without a word."""
    assert abs(compared["crossed_loss"] - compared["loss"]["alone"]) > 1e-4


def test_a_model_that_can_not_be_packed_is_padded_and_says_so(trainer: Trainer) -> None:
    figures = trainer.run_program("packing", "blocked")
    assert figures["warnings"] == [
        "Rows of a model of type gemma2 can't be packed, because Unsloth can't keep them apart. They are padded."
    ]
    assert (figures["batch_size"], figures["accumulation_steps"], figures["pass_tokens"]) == (3, 4, None)
    assert "attention_mask" in figures["keys"]
    assert figures["is_sharded"]  # padded rows don't change how the ranks share the model


def accumulating(**training: Any) -> Profile:
    return demo_profile(
        training={"max_steps": 12, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 4, **training}
    )


def train(trainer: Trainer, packing: str) -> RunDirectory:
    run = trainer.run(f"packing-{packing}", accumulating(packing=packing))
    assert trainer.train(run) == 0, run.log.read_text()
    return run


@pytest.fixture(scope="module")
def packed(trainer: Trainer) -> RunDirectory:
    return train(trainer, "auto")


def test_events_count_rows_steps_and_tokens_as_without_packing(trainer: Trainer, packed: RunDirectory) -> None:
    padded = train(trainer, "off")
    [resolved], [unpacked] = events(packed, "resolved"), events(padded, "resolved")
    for name in ("total_steps", "steps_per_epoch", "train_rows", "eval_rows", "changed"):
        assert resolved[name] == unpacked[name], name
    tokens = [[event["tokens"] for event in events(run, "metrics")] for run in (packed, padded)]
    assert tokens[0] == tokens[1]
    first, second = ([loss for loss, _, _ in losses(run).values()] for run in (packed, padded))
    assert first == pytest.approx(second, abs=0.02)  # bfloat16 rounds the sums differently
    [probe] = events(packed, "probe")
    assert probe["rows"] == 2


@pytest.fixture(scope="module")
def flat(trainer: Trainer) -> RunDirectory:
    return train(trainer, "flatten")


def test_a_flat_step_learns_the_same_in_one_pass(packed: RunDirectory, flat: RunDirectory) -> None:
    [probe] = events(flat, "probe")
    assert probe["rows"] == 8
    first, second = ([loss for loss, _, _ in losses(run).values()] for run in (packed, flat))
    assert first == pytest.approx(second, abs=0.02)  # bfloat16 rounds the sums differently


@pytest.mark.parametrize("packing", ["auto", "flatten"])
def test_a_packed_run_resumes_as_if_never_interrupted(
    trainer: Trainer, packed: RunDirectory, flat: RunDirectory, packing: str
) -> None:
    stopped = trainer.run(f"packing-{packing}-stopped", accumulating(packing=packing))
    assert trainer.stop_after_a_step(stopped) == 0
    assert trainer.train(stopped) == 0
    assert losses(stopped) == losses(packed if packing == "auto" else flat)
