"""The forecast against what real fine-tunes took on a real GPU, and what it says of profiles and cards."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.measured import MODELS, Run, runs

from codex_tui.base.locations import shipped_profiles
from codex_tui.profiles.resolve import load_profile
from training.contract.profile import Profile
from training.contract.units import MIB
from training.memory.forecast import (
    CONTEXT_MIB,
    NCCL_MIB,
    NF4_BYTES,
    Forecast,
    Machine,
    Measured,
    forecast,
    optimizer_bytes,
    shorten_rows,
    trainable_tensors,
)
from training.memory.model_shape import ModelShape, NoShape, shipped_configs
from training.memory.remedies import describe_longer, remedies
from training.memory.speed import estimate_slowdown

WITHIN = 0.05
MAX_CONTEXT_MIB = 1200  # the first process on an H200 that trains Gemma 3 tries kernels that take 6 GiB
WITHIN_MIB = 32  # of a model so small that this is more than 5 %
SEED_TABLE = load_profile(shipped_profiles() / "rtx3050-4gb.toml")
LLAMA_3B = ModelShape.from_config(shipped_configs()[SEED_TABLE.model.name])
LAPTOP = Machine(4096)


def with_(**tables: dict[str, Any]) -> Profile:
    whole = SEED_TABLE.model_dump()
    for table, fields in tables.items():
        whole[table] |= fields
    return Profile.model_validate(whole)


def told(machine: Machine = LAPTOP, **tables: dict[str, Any]) -> Forecast:
    return forecast(with_(**tables), LLAMA_3B, machine)


@pytest.mark.parametrize("run", runs(), ids=lambda run: run.name.replace(" ", "-"))
def test_every_measured_run_is_forecast_within_five_percent(run: Run) -> None:
    assert abs(run.error) * run.reserved_mib <= max(WITHIN * run.reserved_mib, WITHIN_MIB)
    if run.context_mib > MAX_CONTEXT_MIB:
        return
    device = replace(run.machine, context_mib=CONTEXT_MIB)
    found = forecast(run.profile, run.shape, device).device_mib
    assert abs(found / (run.reserved_mib + run.context_mib) - 1) <= WITHIN


def test_the_table_covers_what_it_is_said_to_cover() -> None:
    everything = runs()
    table = [run for run in everything if run.profile.model.name in MODELS.values()]
    assert {run.shape.model_type for run in everything} >= {
        "gemma2",
        "gemma3_text",
        "qwen3",
        "mistral",
        "llama",
        "qwen2",
    }
    llamas = {run.shape.num_hidden_layers for run in table}
    assert llamas >= {16, 28, 32}
    for layers in (16, 28, 32):
        of_shape = [run.profile for run in table if run.shape.num_hidden_layers == layers]
        assert {p.model.max_seq_length for p in of_shape} >= {512, 1024, 2048, 4096}
        assert {p.training.per_device_train_batch_size for p in of_shape} == {1, 2}
        assert {p.lora.r for p in of_shape} == {8, 16, 64}
        assert {p.training.gradient_checkpointing for p in of_shape} >= {"unsloth", True}
        assert {p.model.offload_layers > 0 for p in of_shape} == {True, False}
    assert 0.25 <= sum(run.held_out for run in table) / len(table) <= 0.45


def test_components_add_up_and_the_limit_is_the_card_less_the_display() -> None:
    found = told()
    assert list(found.components) == ["weights", "lora", "optimizer", "activations", "loss_head", "context"]
    assert sum(found.components.values()) == pytest.approx(found.device_mib)
    assert found.device_mib - found.components["context"] == pytest.approx(found.reserved_mib)
    assert found.limit_mib == 4096 - 300
    assert told(hardware={"vram_limit_mib": 3300}).limit_mib == 3300
    assert told(Machine()).limit_mib is None
    assert told(Machine()).verdict is None


@pytest.mark.parametrize(("limit", "verdict"), [(3000, "no"), (3700, "tight"), (4500, "fits")])
def test_the_verdict_follows_the_limit(limit: int, verdict: str) -> None:
    assert told(Machine(24576), hardware={"vram_limit_mib": limit}).verdict == verdict


def test_auto_offloads_as_few_layers_as_fit() -> None:
    roomy = {"vram_limit_mib": 4000}
    assert (
        told(LAPTOP, hardware=roomy | {"display_reserve_mib": 0}, model={"offload_layers": "auto"}).offload_layers == 0
    )
    tight = told(hardware={"vram_limit_mib": 3400}, model={"offload_layers": "auto"})
    assert 3 < tight.offload_layers < 27
    assert tight.verdict == "fits"  # a forecast that is off by 5 % still fits
    fewer = told(hardware={"vram_limit_mib": 3400}, model={"offload_layers": tight.offload_layers - 1})
    assert fewer.verdict == "tight"
    assert told(hardware={"vram_limit_mib": 512}, model={"offload_layers": "auto"}).offload_layers == 27


def test_auto_uses_nearly_all_of_the_limit_once_rows_of_full_length_were_measured() -> None:
    auto = {"hardware": {"vram_limit_mib": 3400}, "model": {"offload_layers": "auto"}}
    guessed = told(**auto)
    measured = Measured(2048, guessed.reserved_mib, guessed.offload_layers)
    known = told(replace(LAPTOP, measured=measured), **auto)
    assert known.offload_layers < guessed.offload_layers
    assert known.verdict == "fits"
    short = told(replace(LAPTOP, measured=replace(measured, tokens=512)), **auto)
    assert short.device_mib <= 0.95 * 3400


def test_three_offloaded_layers_give_nothing_back() -> None:
    assert told(model={"offload_layers": 3}).device_mib == told().device_mib
    assert told(model={"offload_layers": 4}).device_mib < told().device_mib


def test_what_was_measured_here_corrects_the_forecast() -> None:
    short = told(model={"max_seq_length": 512}).reserved_mib
    found = told(replace(LAPTOP, measured=Measured(512, short - 100, 0), context_mib=310))
    assert found.measured
    assert found.reserved_mib == pytest.approx(told().reserved_mib - 100)
    assert found.components["context"] == 310


@pytest.mark.parametrize(
    ("tokens", "eval_tokens", "reserved_mib"), [(700, 8192, 3308.0), (2048, 8192, 3708.0)], ids=["short", "full"]
)
def test_probes_of_larger_passes_are_forecast_with_their_evaluation(
    tokens: int, eval_tokens: int, reserved_mib: float
) -> None:
    """Of two runs on an H200 with 4 rows in a pass. The short rows of a step fill less of a pass than an evaluation."""
    tables = {"training": {"per_device_train_batch_size": 4}, "dataset": {"eval_fraction": 0.05}}
    profile = with_(**tables)
    device = Machine(143_771)
    probed = forecast(shorten_rows(profile, tokens, eval_tokens), LLAMA_3B, device).reserved_mib
    assert probed == pytest.approx(reserved_mib, rel=0.05)
    measured = Measured(tokens, reserved_mib, 0, eval_tokens)
    expected = forecast(profile, LLAMA_3B, device).reserved_mib + reserved_mib - probed
    assert forecast(profile, LLAMA_3B, replace(device, measured=measured)).reserved_mib == pytest.approx(expected)


def test_only_rows_of_full_length_need_no_margin() -> None:
    room = round(told().device_mib / 0.98)  # a little above: tight
    exact = Measured(2048, told().reserved_mib, 0)
    short = Measured(512, told(model={"max_seq_length": 512}).reserved_mib, 0)
    for measured, verdict in ((None, "tight"), (short, "tight"), (exact, "fits")):
        found = told(replace(LAPTOP, card_mib=24576, measured=measured), hardware={"vram_limit_mib": room})
        assert found.verdict == verdict


def test_a_probe_with_other_layers_away_corrects_what_is_chosen_now() -> None:
    auto = with_(model={"offload_layers": "auto"}, hardware={"vram_limit_mib": 3400})
    probed = forecast(with_(model={"offload_layers": 20}), LLAMA_3B, LAPTOP).reserved_mib + 50
    found = forecast(auto, LLAMA_3B, replace(LAPTOP, measured=Measured(2048, probed, 20)))
    same = forecast(with_(model={"offload_layers": found.offload_layers}), LLAMA_3B, LAPTOP)
    assert found.reserved_mib == pytest.approx(same.reserved_mib + 50)
    assert all(mib >= 0 for mib in found.components.values())


def test_remedies_of_auto_are_not_taken_up_by_fewer_layers() -> None:
    profile = with_(model={"offload_layers": "auto"}, hardware={"vram_limit_mib": 2400})
    assert forecast(profile, LLAMA_3B, LAPTOP).verdict == "no"
    found = {remedy.field: remedy.frees_mib for remedy in remedies(profile, LLAMA_3B, LAPTOP)}
    assert found["lora.r"] > 100


def test_remedies_say_what_they_give_back_and_applied_they_do() -> None:
    profile = with_(model={"max_seq_length": 4096}, training={"optim": "adamw_torch", "gradient_checkpointing": True})
    machine = Machine(4096)
    before = forecast(profile, LLAMA_3B, machine)
    assert before.verdict == "no"
    found = remedies(profile, LLAMA_3B, machine)
    assert {"training.optim", "training.gradient_checkpointing", "model.max_seq_length", "lora.r",
            "model.offload_layers"} <= {remedy.field for remedy in found}  # fmt: skip
    assert [remedy.fits for remedy in found] == sorted((remedy.fits for remedy in found), reverse=True)
    assert any(remedy.fits for remedy in found)
    for remedy in found:
        after = forecast(profile.with_value(remedy.field, remedy.value), LLAMA_3B, machine)
        assert before.device_mib - after.device_mib == pytest.approx(remedy.frees_mib, abs=1)
        assert remedy.fits == (after.verdict != "no")
        Profile.model_validate(profile.with_value(remedy.field, remedy.value).model_dump())


def test_an_evaluation_counts_where_its_passes_are_larger_than_those_of_training() -> None:
    none = told(dataset={"eval_fraction": 0.0}).device_mib
    assert told(evaluation={"per_device_eval_batch_size": 1}).device_mib == none
    eight = {"per_device_eval_batch_size": 8}
    packed = told(evaluation=eight).device_mib
    assert packed > none + 500
    assert packed < told(training={"per_device_train_batch_size": 8}).device_mib  # it keeps less than a training pass
    assert told(evaluation=eight, training={"packing": "off"}).device_mib > packed + 100  # the mask of padded rows
    assert told(evaluation=eight, dataset={"eval_fraction": 0.0}).device_mib == none
    book = {"book": "demo:zombie-waves"}
    assert told(evaluation=eight | book, dataset={"eval_fraction": 0.0}).device_mib == packed
    long = {"model": {"max_seq_length": 16384}, "training": {"packing": "off", "per_device_train_batch_size": 2}}
    without = told(**long, dataset={"eval_fraction": 0.0}).device_mib
    two = told(**long, evaluation={"per_device_eval_batch_size": 2}).device_mib
    assert two > without + 500  # an equal batch, but with a mask


def test_a_smaller_evaluation_batch_is_the_first_remedy_where_evaluations_need_the_most() -> None:
    found = remedies(with_(evaluation={"per_device_eval_batch_size": 8}), LLAMA_3B, LAPTOP)
    assert (found[0].field, found[0].value, found[0].fits) == ("evaluation.per_device_eval_batch_size", 1, True)


def test_remedies_name_the_time_where_the_card_is_known_and_only_then() -> None:
    profile = with_(
        model={"max_seq_length": 4096},
        training={"per_device_train_batch_size": 2, "gradient_checkpointing": False, "loss_tile_mib": 512},
        hardware={"vram_limit_mib": 3000},
    )
    laptop = replace(LAPTOP, card="NVIDIA GeForce RTX 3050 Laptop GPU")
    found = {remedy.field: remedy for remedy in remedies(profile, LLAMA_3B, laptop)}
    timed = {"training.gradient_checkpointing", "training.per_device_train_batch_size"}
    assert {field for field, remedy in found.items() if remedy.longer} == timed
    low, high = found["training.gradient_checkpointing"].longer or (0, 0)
    assert 0.2 < low <= high < 0.6  # it repeats the forward pass, and parks the inputs of layers
    assert re.fullmatch(
        r"takes \d+ to \d+ % longer; costs page-locked host memory", found["training.gradient_checkpointing"].price
    )
    unknown = {remedy.field: remedy for remedy in remedies(profile, LLAMA_3B, replace(LAPTOP, card="A card of 2031"))}
    assert {*unknown} == {*found} and not any(remedy.longer for remedy in unknown.values())
    price = unknown["training.gradient_checkpointing"].price
    assert price == "costs slightly slower steps and page-locked host memory"


def test_more_layers_in_host_memory_take_longer_only_where_rows_are_short() -> None:
    card = "NVIDIA GeForce RTX 3050 Laptop GPU"
    changed = with_(model={"offload_layers": 20})
    full, short = (estimate_slowdown(SEED_TABLE, changed, LLAMA_3B, card, tokens) for tokens in (2048, 32))
    assert full and short
    assert full[0] == 0 and full[1] < 0.1  # the arithmetic may hide the move
    assert short[1] > 2 * full[1]


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.0, 0.004, "takes hardly longer"),
        (0.0, 0.061, "takes up to 6 % longer"),
        (0.11, 0.12, "takes about 12 % longer"),
        (0.11, 0.32, "takes 11 to 32 % longer"),
        (-0.2, -0.1, "takes about 20 % less time"),
    ],
)
def test_times_are_said_as_exactly_as_they_are_known(low: float, high: float, text: str) -> None:
    assert describe_longer(low, high) == text


def test_small_and_paged_optimizer_states() -> None:
    assert optimizer_bytes([4095], "adamw_8bit") == 8 * 4095
    assert optimizer_bytes([4096], "adamw_8bit") == 2 * 4096 + 8 * 16
    assert optimizer_bytes([1 << 20], "paged_adamw_8bit") == 8 * 4096
    assert optimizer_bytes([100], "adamw_torch") == 800


def test_a_config_without_a_shape_says_what_is_missing() -> None:
    with pytest.raises(NoShape, match="hidden_size"):
        ModelShape.from_config({"num_attention_heads": 4})
    with pytest.raises(NoShape, match="mixture of experts"):
        ModelShape.from_config({"num_experts": 8})
    odd: Any
    for odd in ("four", -4, 0, True, [4], 10**200, 4.0):
        with pytest.raises(NoShape, match="num_attention_heads"):
            ModelShape.from_config({"num_attention_heads": odd})
    whole = {
        "vocab_size": 9,
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    for text_config in ([], "x", 3, None):
        assert ModelShape.from_config({**whole, "text_config": text_config, "quantization_config": []}).hidden_size == 8
    with pytest.raises(NoShape, match="num_hidden_layers"):
        ModelShape.from_config({**whole, "num_hidden_layers": 10_000_000})


@pytest.mark.parametrize("path", sorted(shipped_profiles().glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_profile_is_forecast_offline_and_fits_its_card(path: Path) -> None:
    profile = load_profile(path)
    size = next((int(part[:-2]) * 1024 for part in path.stem.split("-") if part.endswith("gb")), None)
    found = forecast(profile, ModelShape.from_config(shipped_configs()[profile.model.name]), Machine(size))
    assert found.verdict in ("fits", "tight", None)


def test_where_segments_cannot_grow_a_limit_makes_the_allocator_give_back() -> None:
    """As under WSL2: without a limit more is reserved than used; with one, the same run squeezes into less."""
    fixed = Machine(expandable_segments=False)
    free = told(fixed)
    assert free.reserved_mib > told(Machine()).reserved_mib
    limit = round(free.device_mib) - 40
    held = told(fixed, hardware={"vram_limit_mib": limit})
    assert held.device_mib == pytest.approx(limit, abs=1)
    assert held.verdict == "tight"
    assert told(fixed, hardware={"vram_limit_mib": limit - 400}).verdict == "no"


def test_several_processes_need_buckets_for_their_gradients_and_nccl() -> None:
    machine = Machine(24_576)
    one, two, four = (told(machine, launch={"processes": count}) for count in (1, 2, 4))
    adapter = sum(trainable_tensors(with_(), LLAMA_3B)) * 4 / 2**20
    assert two.components["lora"] - one.components["lora"] == pytest.approx(adapter)
    assert two.components["context"] - one.components["context"] == NCCL_MIB
    assert (one.cards, two.cards, four.cards) == (1, 2, 4)
    assert four.device_mib == two.device_mib  # each of them

    tight = remedies(with_(launch={"processes": 2}), LLAMA_3B, Machine(3000))
    assert tight and not any("offload" in remedy.field for remedy in tight)


def test_a_shared_model_leaves_room_but_must_be_loaded_whole() -> None:
    """On a large card it is not shared, because it takes little there."""
    model = {"offload_layers": 0, "offload_embedding": False, "max_seq_length": 8192}
    two: dict[str, Any] = {"hardware": {"device": [0, 1]}, "model": model}
    whole, shared = (told(**two, launch={"strategy": strategy}) for strategy in ("ddp", "fsdp"))
    weights = whole.components["weights"]
    assert shared.components["weights"] == pytest.approx(weights - whole_layers_mib() / 2, rel=0.1)
    assert shared.components["lora"] == pytest.approx(whole.components["lora"] / 3)
    assert shared.components["optimizer"] == pytest.approx(whole.components["optimizer"] / 2)
    model["max_seq_length"] = 256
    assert told(**two, launch={"strategy": "fsdp"}).reserved_mib > weights
    large = told(Machine(143_771), **two, launch={"strategy": "fsdp"})
    assert large.components["weights"] == weights


def whole_layers_mib() -> float:
    return NF4_BYTES * LLAMA_3B.layer_parameters * LLAMA_3B.num_hidden_layers / MIB
