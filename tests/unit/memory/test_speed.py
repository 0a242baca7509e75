"""The estimated speed of a run, beside speeds that were measured (docs/measurements.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from codex_tui.base import locations
from codex_tui.profiles.resolve import load_profile
from training.contract.profile import Profile
from training.memory import speed
from training.memory.model_shape import ModelShape, shipped_configs
from training.memory.speed import Speed, estimate_slowdown, estimate_speed, find_rates

H100, H200 = "NVIDIA H100 80GB HBM3", "NVIDIA H200"
LAPTOP = "NVIDIA GeForce RTX 3050 Laptop GPU"
MODELS = {
    "3B": "unsloth/Llama-3.2-3B-Instruct-bnb-4bit",
    "8B": "unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit",
}


def make_profile(**training: Any) -> Profile:
    profile: Profile = load_profile(locations.shipped_profiles() / "rtx3050-4gb.toml")
    for name, value in {"packing": "off", **training}.items():
        profile = profile.with_value(f"training.{name}", value)
    return profile.with_value("model.offload_layers", 0)


def estimate(card: str, model: str, row_tokens: int, **training: Any) -> Speed | None:
    profile = make_profile(**training)
    return estimate_speed(profile, ModelShape.from_config(shipped_configs()[MODELS[model]]), card, row_tokens)


@pytest.mark.parametrize(
    ("card", "model", "row_tokens", "training", "measured"),
    [
        (H200, "3B", 2048, {}, 6464),
        (H200, "3B", 89, {}, 279),
        (H200, "3B", 163, {}, 477),
        (H200, "3B", 163, {"packing": "auto", "gradient_accumulation_steps": 48}, 5889),
        (H200, "3B", 2048, {"packing": "pack", "per_device_train_batch_size": 4}, 19527),
        (H200, "3B", 2048, {"packing": "flatten", "gradient_accumulation_steps": 4}, 20255),
        (
            H200,
            "3B",
            163,
            {"packing": "pack", "per_device_train_batch_size": 4, "gradient_accumulation_steps": 12},
            19366,
        ),
        (H100, "3B", 2048, {}, 6064),
        (H100, "8B", 512, {}, 1393),
        (H100, "8B", 1024, {}, 2621),
    ],
)
def test_measured_speeds_lie_in_the_range(
    card: str, model: str, row_tokens: int, training: dict[str, Any], measured: int
) -> None:
    found = estimate(card, model, row_tokens, **training)
    assert found is not None and not found.measured
    assert found.slow < measured < found.fast


@pytest.mark.parametrize(
    ("row_tokens", "training", "measured"),
    [
        (2048, {}, 47.76),
        (163, {}, 193.0),
        (163, {"packing": "auto"}, 82.4),
        (163, {"packing": "auto", "gradient_accumulation_steps": 48}, 46.1),
        (163, {"packing": "pack", "per_device_train_batch_size": 4, "gradient_accumulation_steps": 12}, 38.79),
        (2048, {"packing": "pack", "per_device_train_batch_size": 4}, 41.99),
    ],
)
def test_the_measured_busy_time_lies_in_the_range_of_a_card_that_waits_for_no_cpu(
    row_tokens: int, training: dict[str, Any], measured: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Milliseconds for each 1,000 tokens of 3B in which the H200 was busy. They limit a small card."""
    for name in ("SLOW", "FAST"):
        monkeypatch.setattr(speed, name, replace(getattr(speed, name), launch_seconds=0.0))
    found = estimate(H200, "3B", row_tokens, **training)
    assert found is not None
    assert 1e6 / found.fast < measured < 1e6 / found.slow


@pytest.mark.parametrize(
    ("before", "after", "measured"),
    [
        ({}, {"packing": "auto"}, 82.4 / 193.0),
        ({}, {"packing": "auto", "gradient_accumulation_steps": 48}, 46.1 / 193.0),
        ({"packing": "auto"}, {"packing": "auto", "gradient_accumulation_steps": 48}, 59.9 / 82.4),
    ],
)
def test_the_measured_change_of_the_busy_time_lies_in_the_range(
    before: dict[str, Any], after: dict[str, Any], measured: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLOW", "FAST"):
        monkeypatch.setattr(speed, name, replace(getattr(speed, name), launch_seconds=0.0))
    shape = ModelShape.from_config(shipped_configs()[MODELS["3B"]])
    longer = estimate_slowdown(make_profile(**before), make_profile(**after), shape, H200, 163)
    assert longer is not None
    assert longer[0] < measured - 1 < longer[1]


def test_packing_makes_short_rows_faster_on_a_small_card_and_the_range_is_narrow() -> None:
    alone, packed = estimate(LAPTOP, "3B", 89), estimate(LAPTOP, "3B", 89, packing="auto")
    assert alone and packed
    assert packed.slow > 1.3 * alone.slow
    assert packed.fast < 1.6 * packed.slow


def test_no_pass_is_longer_than_a_packed_pass_may_be() -> None:
    full, more = (estimate(LAPTOP, "3B", 512, packing="auto", gradient_accumulation_steps=n) for n in (4, 64))
    assert full == more


@pytest.mark.parametrize(
    ("card", "operations"),
    [
        ("NVIDIA GeForce RTX 3050 Laptop GPU", 12e12),
        ("NVIDIA GeForce RTX 3050 Ti Laptop GPU", 14e12),
        ("NVIDIA GeForce RTX 3050", 18e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA GeForce GTX 1050", None),
        ("NVIDIA GeForce RTX 6090 Laptop GPU", None),
    ],
)
def test_a_card_is_found_by_the_drivers_name(card: str, operations: float | None) -> None:
    rates = find_rates(card)
    assert (rates.operations if rates else None) == operations


def test_nothing_is_estimated_for_an_unknown_card_or_layers_in_host_memory() -> None:
    assert estimate("NVIDIA GeForce GTX 1050", "3B", 89) is None
    profile = load_profile(locations.shipped_profiles() / "rtx3050-4gb.toml").with_value("model.offload_layers", 8)
    shape = ModelShape.from_config(shipped_configs()[MODELS["3B"]])
    assert estimate_speed(profile, shape, LAPTOP, 89) is None


def test_processes_multiply_the_speed_and_divide_the_rows_of_a_pass() -> None:
    profile = load_profile(locations.shipped_profiles() / "rtx3050-4gb.toml")
    shape = ModelShape.from_config(shipped_configs()[MODELS["3B"]])
    two = profile.with_value("launch.processes", 2)
    one_card, two_cards = (estimate_speed(each, shape, H100, 2048) for each in (profile, two))
    assert one_card and two_cards and two_cards.slow == pytest.approx(2 * one_card.slow)
    short = [estimate_speed(each, shape, H100, 163) for each in (profile, two)]
    assert short[0] and short[1] and short[1].fast < 2 * short[0].fast  # a pass has the rows of half a step
