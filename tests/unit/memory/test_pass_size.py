"""Which passes packing = "auto" takes, because they are faster and fit, and for which runs they stay as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from benchmarks.random_models import SHAPES

from codex_tui.base.locations import shipped_profiles
from codex_tui.profiles.resolve import load_profile
from training.contract.profile import Profile
from training.memory.forecast import TIGHT_SHARE, Machine, Measured, forecast
from training.memory.model_shape import ModelShape, shipped_configs
from training.memory.pass_size import USABLE_SHARE, compare_passes, estimate_saved, resolve_passes, set_pass_rows

TABLE = load_profile(shipped_profiles() / "rtx3050-4gb.toml")
LLAMA_3B = ModelShape.from_config(shipped_configs()[TABLE.model.name])
H200 = Machine(24_576, card="NVIDIA H200")  # as fast as one, and as small as a card for a desk
RTX_3060 = replace(H200, card="NVIDIA GeForce RTX 3060")


def make_profile(**tables: dict[str, Any]) -> Profile:
    whole = TABLE.model_dump()
    for table, fields in tables.items():
        whole[table] |= fields
    return Profile.model_validate(whole)


def split(batch: int, steps: int, **others: Any) -> dict[str, Any]:
    return {"per_device_train_batch_size": batch, "gradient_accumulation_steps": steps, **others}


def read_split(profile: Profile) -> tuple[int, int]:
    return profile.training.per_device_train_batch_size, profile.training.gradient_accumulation_steps


@pytest.mark.parametrize(("batch", "steps"), [(1, 4), (1, 6), (2, 8), (2, 3), (1, 12)])
def test_larger_passes_of_a_fast_card_keep_the_rows_of_a_step_and_fit(batch: int, steps: int) -> None:
    profile = make_profile(training=split(batch, steps))
    resolved = resolve_passes(profile, LLAMA_3B, H200)
    Profile.model_validate(resolved.model_dump())
    assert resolved.training.packing == "pack"
    assert resolved.pass_rows > batch
    assert resolved.pass_rows * resolved.training.gradient_accumulation_steps == batch * steps
    before, after = (forecast(each, LLAMA_3B, H200) for each in (profile, resolved))
    assert after.device_mib <= USABLE_SHARE * (after.limit_mib or 0)
    larger = compare_passes(profile, resolved, LLAMA_3B, H200)
    assert larger is not None and (larger.rows, larger.instead_of) == (resolved.pass_rows, batch)
    assert larger.needs_mib == pytest.approx(after.device_mib - before.device_mib, abs=1)
    assert 0.1 <= larger.saved[0] <= larger.saved[1] < 1


def test_the_choice_is_final() -> None:
    resolved = resolve_passes(TABLE, LLAMA_3B, H200)
    assert resolve_passes(resolved, LLAMA_3B, H200) == resolved


def test_the_smallest_pass_with_nearly_all_of_the_gain_is_taken() -> None:
    """An A100 waits for the CPU in passes of 2,048 tokens, and hardly in longer ones."""
    a100 = Machine(40_960, card="NVIDIA A100-SXM4-40GB")
    profile = make_profile(training=split(1, 16))
    resolved = resolve_passes(profile, LLAMA_3B, a100)
    assert 1 < resolved.pass_rows < 16
    largest = set_pass_rows(profile, 16)
    assert forecast(largest, LLAMA_3B, a100).verdict == "fits"
    assert estimate_saved(resolved, largest, LLAMA_3B, a100.card)[0] < 0.05


def test_larger_passes_leave_room_for_the_error_of_the_forecast() -> None:
    needed = forecast(resolve_passes(make_profile(training=split(1, 16)), LLAMA_3B, H200), LLAMA_3B, H200).device_mib
    largest = resolve_passes(make_profile(training=split(1, 16)), LLAMA_3B, H200).pass_rows
    limits = {needed / USABLE_SHARE + 10: largest, needed / USABLE_SHARE - 10: largest // 2, needed + 10: largest // 2}
    for limit, rows in limits.items():
        profile = make_profile(training=split(1, 16), hardware={"vram_limit_mib": round(limit)})
        assert resolve_passes(profile, LLAMA_3B, H200).pass_rows == rows
    profile = make_profile(training=split(1, 16), hardware={"vram_limit_mib": 3800})
    assert resolve_passes(profile, LLAMA_3B, H200).pass_rows == 1


def test_larger_passes_that_were_measured_need_less_room_and_those_that_did_not_fit_are_not_taken_again() -> None:
    profile = make_profile(training=split(1, 16))
    largest = resolve_passes(profile, LLAMA_3B, H200)
    memory = forecast(largest, LLAMA_3B, H200)
    tight = make_profile(training=split(1, 16), hardware={"vram_limit_mib": round(memory.device_mib) + 50})
    for more, rows in ((0, largest.pass_rows), (-100, largest.pass_rows), (100, largest.pass_rows // 2)):
        measured = Measured(2048, memory.reserved_mib + more, 0)
        found = {largest.pass_rows: measured}
        resolved = resolve_passes(tight, LLAMA_3B, H200, lambda each, found=found: found.get(each.pass_rows))
        assert resolved.pass_rows == rows


def test_a_run_that_was_measured_above_its_forecast_leaves_less_room() -> None:
    profile = make_profile(training=split(1, 16))
    largest = resolve_passes(profile, LLAMA_3B, H200)
    limit = forecast(largest, LLAMA_3B, H200).device_mib / USABLE_SHARE + 50
    profile = make_profile(training=split(1, 16), hardware={"vram_limit_mib": round(limit)})
    reserved = forecast(profile, LLAMA_3B, H200).reserved_mib
    for more in (-200, 0, 200):
        measured = Measured(2048, reserved + more, 0)
        resolved = resolve_passes(
            profile, LLAMA_3B, H200, lambda each, measured=measured: measured if each.pass_rows == 1 else None
        )
        assert 1 < resolved.pass_rows < largest.pass_rows if more > 0 else resolved.pass_rows == largest.pass_rows


def test_passes_stay_as_they_are_where_the_arithmetic_takes_the_time() -> None:
    """Four rows of 2,048 tokens keep an RTX 3060 busy one by one, rows of 512 do not."""
    resolved = resolve_passes(TABLE, LLAMA_3B, RTX_3060)
    assert resolved == TABLE.with_value("training.packing", "pack")
    assert compare_passes(TABLE, resolved, LLAMA_3B, RTX_3060) is None
    short = TABLE.with_max_seq_length(512)
    larger = compare_passes(short, resolve_passes(short, LLAMA_3B, RTX_3060), LLAMA_3B, RTX_3060)
    assert larger is not None and larger.rows == 4 and larger.saved[0] > 0.1


@pytest.mark.parametrize(("packing", "model_type"), [("off", "llama"), ("auto", "gemma2"), ("flatten", "gemma2")])
def test_rows_that_are_padded_have_the_batches_of_the_profile(packing: str, model_type: str) -> None:
    shape = replace(LLAMA_3B, model_type=model_type)
    profile = make_profile(training=split(1, 4, packing=packing))
    resolved = resolve_passes(profile, shape, H200)
    assert read_split(resolved) == (1, 4)
    assert (resolved.pass_rows, resolved.training.packing) == (1, "off" if packing == "off" else "pack")
    assert compare_passes(profile, resolved, shape, H200) is None


@pytest.mark.parametrize(("packing", "rows"), [("pack", 2), ("flatten", 24)])
def test_a_person_may_choose_the_size(packing: str, rows: int) -> None:
    profile = make_profile(training=split(2, 12, packing=packing))
    assert resolve_passes(profile, LLAMA_3B, H200) == profile
    assert profile.pass_rows == rows
    packed = make_profile(training=split(2, 12, packing="pack"))
    more = forecast(profile, LLAMA_3B).components["activations"] - forecast(packed, LLAMA_3B).components["activations"]
    assert more == 0 if packing == "pack" else more > 1000


def test_passes_of_gemma_3_stay_small_because_all_tokens_of_a_pass_attend_to_each_other() -> None:
    """A pass of eight times the tokens computes 64 times the scores, so the largest pass that fits is not the best."""
    gemma3, card = ModelShape.from_config(SHAPES["gemma3-1b"]), replace(H200, card_mib=200_000)
    for model_type, batch in (("gemma3_text", 4), ("llama", 16)):
        shape = replace(gemma3, model_type=model_type)
        assert resolve_passes(make_profile(training=split(1, 16)), shape, card).pass_rows == batch


def test_processes_that_keep_the_batch_divide_its_accumulation() -> None:
    profile = make_profile(training=split(1, 8), launch={"processes": 2})
    resolved = resolve_passes(profile, LLAMA_3B, H200)
    Profile.model_validate(resolved.model_dump())  # which would raise if the accumulation could not be divided
    assert read_split(resolved) == (4, 2)
    assert (profile.process_accumulation_steps, resolved.process_accumulation_steps) == (4, 1)
    alone = make_profile(training=split(1, 4), launch={"processes": 2, "keep_batch": False})
    assert read_split(resolve_passes(alone, LLAMA_3B, H200)) == (4, 1)
    flat = make_profile(training=split(1, 8, packing="flatten"), launch={"processes": 2})
    assert flat.pass_rows == 4


@pytest.mark.parametrize(
    ("machine", "tables"),
    [
        (Machine(24_576), {}),
        (replace(H200, card="A card of 2031"), {}),
        (Machine(None, card="NVIDIA H200"), {}),
        (H200, {"model": {"offload_layers": 8}}),
        (H200, {"hardware": {"vram_limit_mib": 3000}}),
        (H200, {"training": split(4, 1)}),
    ],
    ids=["no name", "unknown name", "no card", "layers in host memory", "too big", "one pass"],
)
def test_passes_stay_as_they_are_where_a_gain_is_not_known_or_does_not_fit(
    machine: Machine, tables: dict[str, dict[str, Any]]
) -> None:
    assert resolve_passes(make_profile(), LLAMA_3B, H200).pass_rows == 4
    profile = make_profile(**tables)
    assert resolve_passes(profile, LLAMA_3B, machine) == profile.with_value("training.packing", "pack")


def test_passes_stay_as_they_are_where_the_run_was_measured_not_to_fit_well() -> None:
    measured = Measured(2048, TIGHT_SHARE * 24_576, 0)
    resolved = resolve_passes(
        make_profile(training=split(1, 4)), LLAMA_3B, H200, lambda each: measured if each.pass_rows == 1 else None
    )
    assert resolved.pass_rows == 1


def test_an_automatic_offload_is_not_started_for_a_larger_pass() -> None:
    profile = make_profile(model={"offload_layers": "auto"}, training=split(1, 64))
    machine = replace(H200, card_mib=6144)
    resolved = resolve_passes(profile, LLAMA_3B, machine)
    assert resolved.pass_rows > 1 and resolved.model.offload_layers == "auto"
    changed = forecast(resolved, LLAMA_3B, machine)
    assert (changed.offload_layers, changed.verdict) == (0, "fits")


def test_an_enormous_accumulation_takes_no_time() -> None:
    resolved = resolve_passes(make_profile(training=split(1, 10**15)), LLAMA_3B, H200)
    batch, steps = read_split(resolved)
    assert batch > 1 and batch * steps == 10**15


@pytest.mark.parametrize(
    ("saved", "text"), [((0.4, 0.7), "40 to 70 % less time"), ((0.735, 0.75), "about 75 % less time")]
)
def test_the_time_is_said_as_exactly_as_it_is_known(saved: tuple[float, float], text: str) -> None:
    larger = compare_passes(TABLE, resolve_passes(TABLE, LLAMA_3B, H200), LLAMA_3B, H200)
    assert larger is not None and replace(larger, saved=saved).time == text
