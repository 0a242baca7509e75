"""Which larger passes are suggested, because they are faster and fit, and for which runs none are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from benchmarks.random_models import SHAPES

from codex_tui.base.locations import shipped_profiles
from codex_tui.profiles.resolve import load_profile
from training.contract.profile import Profile
from training.memory.faster import ACCUMULATION, BATCH, find_faster
from training.memory.forecast import TIGHT_SHARE, Machine, Measured, forecast
from training.memory.model_shape import ModelShape, shipped_configs
from training.memory.speed import estimate_slowdown

TABLE = load_profile(shipped_profiles() / "rtx3050-4gb.toml")
LLAMA_3B = ModelShape.from_config(shipped_configs()[TABLE.model.name])
H200 = Machine(24_576, card="NVIDIA H200")  # as fast as one, and as small as a card for a desk
RTX_4090 = replace(H200, card="NVIDIA GeForce RTX 4090")


def make_profile(**tables: dict[str, Any]) -> Profile:
    whole = TABLE.model_dump()
    for table, fields in tables.items():
        whole[table] |= fields
    return Profile.model_validate(whole)


def split(batch: int, steps: int, **others: Any) -> dict[str, Any]:
    return {"per_device_train_batch_size": batch, "gradient_accumulation_steps": steps, **others}


def apply(profile: Profile, changes: dict[str, int]) -> Profile:
    for field, value in changes.items():
        profile = profile.with_value(field, value)
    return Profile.model_validate(profile.model_dump())


@pytest.mark.parametrize(("batch", "steps"), [(1, 4), (1, 6), (2, 8), (2, 3), (1, 12)])
def test_fewer_passes_of_a_fast_card_keep_the_rows_of_a_step_and_fit(batch: int, steps: int) -> None:
    profile = make_profile(training=split(batch, steps))
    faster = find_faster(profile, LLAMA_3B, H200)
    assert faster is not None and faster.batch > batch
    assert faster.changes == {BATCH: faster.batch, ACCUMULATION: faster.accumulation}
    assert faster.batch * faster.accumulation == batch * steps
    changed = apply(profile, faster.changes)
    before, after = (forecast(each, LLAMA_3B, H200) for each in (profile, changed))
    assert after.verdict == "fits"
    assert after.device_mib - before.device_mib == pytest.approx(faster.needs_mib, abs=1)
    slowdown = estimate_slowdown(profile, changed, LLAMA_3B, H200.card, 2048)
    assert slowdown == pytest.approx((-faster.saved[1], -faster.saved[0]))
    assert faster.saved[0] >= 0.1
    assert faster.row_tokens == 2048


def test_the_smallest_batch_with_nearly_all_of_the_gain_is_taken() -> None:
    """An A100 waits for the CPU in passes of 2,048 tokens, and hardly in longer ones."""
    a100 = Machine(40_960, card="NVIDIA A100-SXM4-40GB")
    profile = make_profile(training=split(1, 16))
    faster = find_faster(profile, LLAMA_3B, a100)
    assert faster is not None and 1 < faster.batch < 16
    largest = apply(profile, {BATCH: 16, ACCUMULATION: 1})
    assert forecast(largest, LLAMA_3B, a100).verdict == "fits"
    _, more = estimate_slowdown(apply(profile, faster.changes), largest, LLAMA_3B, a100.card, 2048) or (0, 0)
    assert more > -0.05


def test_a_batch_that_fits_only_tightly_is_not_taken() -> None:
    profile = make_profile(training=split(1, 16))
    largest = find_faster(profile, LLAMA_3B, H200)
    assert largest is not None
    needed = forecast(apply(profile, largest.changes), LLAMA_3B, H200).device_mib
    limit = {"vram_limit_mib": round(needed) + 10}
    tight = find_faster(make_profile(training=split(1, 16), hardware=limit), LLAMA_3B, H200)
    assert tight is not None and 1 < tight.batch < largest.batch
    assert find_faster(make_profile(training=split(1, 16), hardware={"vram_limit_mib": 3800}), LLAMA_3B, H200) is None


def test_a_run_that_was_measured_above_its_forecast_leaves_less_room() -> None:
    profile = make_profile(training=split(1, 16))
    largest = find_faster(profile, LLAMA_3B, H200)
    assert largest is not None
    needed = forecast(apply(profile, largest.changes), LLAMA_3B, H200).device_mib
    profile = make_profile(training=split(1, 16), hardware={"vram_limit_mib": round(needed / TIGHT_SHARE) + 50})
    reserved = forecast(profile, LLAMA_3B, H200).reserved_mib
    for more in (-200, 0, 200):
        measured = replace(H200, measured=Measured(2048, reserved + more, 0))
        faster = find_faster(profile, LLAMA_3B, measured)
        assert faster is not None and (1 < faster.batch < largest.batch if more > 0 else faster == largest)


def test_nothing_is_suggested_where_the_arithmetic_takes_the_time() -> None:
    """Four rows of 2,048 tokens keep an RTX 4090 busy one by one, rows of 512 do not."""
    assert find_faster(TABLE, LLAMA_3B, RTX_4090) is None
    short = find_faster(TABLE.with_max_seq_length(512), LLAMA_3B, RTX_4090)
    assert short is not None and short.batch == 4 and short.saved[0] > 0.3


def test_the_real_length_of_the_rows_counts() -> None:
    assert find_faster(TABLE, LLAMA_3B, H200, 163) is None  # packed, the four rows of a step are one pass already
    many = find_faster(make_profile(training=split(1, 48)), LLAMA_3B, H200, 163)
    assert many is not None and many.row_tokens == 163
    assert find_faster(TABLE, LLAMA_3B, H200, 99_999) == find_faster(TABLE, LLAMA_3B, H200)  # rows are cut


@pytest.mark.parametrize("card", [H200, RTX_4090], ids=["H200", "RTX 4090"])
def test_padding_is_expected_where_rows_are_not_packed(card: Machine) -> None:
    """A short row may be padded to max_seq_length. Only the H200 is so fast that this costs less than it saves."""
    profile = make_profile(training=split(1, 4, packing="off"))
    faster = find_faster(profile, LLAMA_3B, card, 163)
    assert (faster is None) == (card is RTX_4090)
    if faster:
        full = find_faster(profile, LLAMA_3B, card)
        assert full is not None and faster.saved[0] == pytest.approx(full.saved[0])
    gemma2 = replace(LLAMA_3B, model_type="gemma2")  # is never packed
    packed = make_profile(training=split(1, 4), model={"max_seq_length": 512})
    assert find_faster(packed, LLAMA_3B, H200, 100) is None
    assert find_faster(packed, gemma2, H200, 100) is not None


def test_passes_of_gemma_3_stay_small_because_all_tokens_of_a_pass_attend_to_each_other() -> None:
    """A pass of eight times the tokens computes 64 times the scores, so the largest pass that fits is not the best."""
    gemma3, card = ModelShape.from_config(SHAPES["gemma3-1b"]), replace(H200, card_mib=200_000)
    for model_type, batch in (("gemma3_text", 4), ("llama", 16)):
        faster = find_faster(make_profile(training=split(1, 16)), replace(gemma3, model_type=model_type), card)
        assert faster is not None and faster.batch == batch


def test_processes_that_keep_the_batch_divide_its_accumulation() -> None:
    profile = make_profile(training=split(1, 8), launch={"processes": 2})
    faster = find_faster(profile, LLAMA_3B, H200)
    assert faster is not None and faster.changes == {BATCH: 4, ACCUMULATION: 2}
    changed = apply(profile, faster.changes)  # which would raise if the accumulation could not be divided
    assert (profile.process_accumulation_steps, changed.process_accumulation_steps) == (4, 1)
    alone = make_profile(training=split(1, 4), launch={"processes": 2, "keep_batch": False})
    faster = find_faster(alone, LLAMA_3B, H200)
    assert faster is not None and faster.changes == {BATCH: 4, ACCUMULATION: 1}


@pytest.mark.parametrize(
    ("machine", "tables"),
    [
        (Machine(24_576), {}),
        (replace(H200, card="A card of 2031"), {}),
        (Machine(None, card="NVIDIA H200"), {}),
        (H200, {"model": {"offload_layers": 8}}),
        (H200, {"hardware": {"vram_limit_mib": 3000}}),
        (replace(H200, measured=Measured(2048, 23_900.0, 0)), {}),
        (H200, {"training": split(4, 1)}),
    ],
    ids=["no name", "unknown name", "no card", "layers in host memory", "too big", "measured too big", "one pass"],
)
def test_nothing_is_suggested_of_what_is_not_known_or_does_not_fit(
    machine: Machine, tables: dict[str, dict[str, Any]]
) -> None:
    assert find_faster(make_profile(), LLAMA_3B, H200) is not None
    assert find_faster(make_profile(**tables), LLAMA_3B, machine) is None


def test_an_automatic_offload_is_not_started_for_a_larger_batch() -> None:
    profile = make_profile(model={"offload_layers": "auto"}, training=split(1, 64))
    faster = find_faster(profile, LLAMA_3B, replace(H200, card_mib=6144))
    assert faster is not None
    changed = forecast(apply(profile, faster.changes), LLAMA_3B, replace(H200, card_mib=6144))
    assert (changed.offload_layers, changed.verdict) == (0, "fits")


def test_an_enormous_accumulation_takes_no_time() -> None:
    faster = find_faster(make_profile(training=split(1, 10**15)), LLAMA_3B, H200)
    assert faster is not None and faster.batch * faster.accumulation == 10**15


@pytest.mark.parametrize(
    ("saved", "text"), [((0.4, 0.7), "40 to 70 % less time"), ((0.735, 0.75), "about 75 % less time")]
)
def test_the_time_is_said_as_exactly_as_it_is_known(saved: tuple[float, float], text: str) -> None:
    faster = find_faster(TABLE, LLAMA_3B, H200)
    assert faster is not None and replace(faster, saved=saved).time == text
