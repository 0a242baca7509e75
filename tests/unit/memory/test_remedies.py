"""Which changes are offered where passes are larger than the profile's batch, and which would not help there."""

from __future__ import annotations

from typing import Any

import pytest

from codex_tui.base.locations import shipped_profiles
from codex_tui.profiles.resolve import load_profile
from training.contract.profile import Profile
from training.memory.forecast import Machine, forecast
from training.memory.model_shape import ModelShape, shipped_configs
from training.memory.pass_size import set_pass_rows
from training.memory.remedies import Remedy, remedies

TABLE = load_profile(shipped_profiles() / "rtx3050-4gb.toml")
LLAMA_3B = ModelShape.from_config(shipped_configs()[TABLE.model.name])
BATCH, PACKING = "training.per_device_train_batch_size", "training.packing"
EVAL_BATCH = "evaluation.per_device_eval_batch_size"
CARD = Machine(6144, card="NVIDIA GeForce RTX 4050 Laptop GPU")


def make_profile(batch: int, steps: int, packing: str, eval_batch: int = 1) -> Profile:
    values = {BATCH: batch, "training.gradient_accumulation_steps": steps, PACKING: packing, EVAL_BATCH: eval_batch}
    profile = TABLE
    for field, value in values.items():
        profile = profile.with_value(field, value)
    return profile


def find_remedies(profile: Profile, **options: Any) -> dict[str, Remedy]:
    assert forecast(profile, LLAMA_3B, CARD).verdict == "no"
    return {remedy.field: remedy for remedy in remedies(profile, LLAMA_3B, CARD, **options)}


def test_automatic_passes_are_the_first_remedy_of_a_flat_step_and_half_a_batch_is_none() -> None:
    found = find_remedies(make_profile(2, 8, "flatten"))
    assert next(iter(found)) == PACKING
    remedy = found[PACKING]
    assert (remedy.value, remedy.cost, remedy.fits) == ("auto", "", True)
    assert remedy.longer is not None
    assert BATCH not in found


def test_half_a_batch_shrinks_a_flat_step_of_one_batch() -> None:
    found = find_remedies(make_profile(16, 1, "flatten"))
    assert PACKING not in found
    assert (found[BATCH].value, found[BATCH].cost) == (8, "half of the rows a step")
    assert "unless" in find_remedies(make_profile(16, 1, "pack"))[BATCH].cost


def test_the_profile_s_own_passes_are_the_first_remedy_where_auto_has_chosen_larger_ones() -> None:
    profile = make_profile(2, 8, "auto")
    enlarged = set_pass_rows(profile, 16)
    found = find_remedies(enlarged, smaller=profile)
    assert next(iter(found)) == PACKING and BATCH not in found
    freed = forecast(enlarged, LLAMA_3B, CARD).device_mib - forecast(profile, LLAMA_3B, CARD).device_mib
    assert (found[PACKING].value, found[PACKING].fits) == ("pack", True)
    assert found[PACKING].frees_mib == pytest.approx(freed, abs=1)


def test_passes_of_an_evaluation_are_at_least_as_large_as_those_of_training() -> None:
    assert EVAL_BATCH not in find_remedies(make_profile(2, 8, "flatten", eval_batch=8))
    assert find_remedies(make_profile(2, 8, "flatten", eval_batch=64))[EVAL_BATCH].value == 16
