from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from training.contract.events import OutOfMemory
from training.contract.measurements import Probe
from training.contract.profile import Profile, find_conflicts
from training.memory.forecast import TIGHT_SHARE
from training.memory.healing import Shortage, apply, find_healing, list_learning_remedies
from training.memory.model_shape import ModelShape, shipped_configs

SHAPES = {
    "1b": "unsloth/Llama-3.2-1B-Instruct-bnb-4bit",
    "3b": "unsloth/Llama-3.2-3B-Instruct-bnb-4bit",
    "8b": "unsloth/Meta-Llama-3.1-8B-Instruct-bnb-4bit",
    "demo": "demo:llama",
}
SAME_LEARNING = {
    "evaluation.per_device_eval_batch_size",
    "training.gradient_checkpointing",
    "model.offload_embedding",
    "training.loss_tile_mib",
    "training.per_device_train_batch_size",
    "training.gradient_accumulation_steps",
    "training.packing",
    "model.offload_layers",
}
LAPTOP = "NVIDIA GeForce RTX 3050 Laptop GPU"


def make_shortage(shape: str = "3b", *, memory: dict[str, Any] | None = None, **tables: dict[str, Any]) -> Shortage:
    profile = Profile.model_validate({"model": {"name": "x"} | tables.pop("model", {}), **tables})
    facts: dict[str, Any] = {
        "task": "training",
        "limit_mib": 3796.0,
        "context_mib": 500.0,
        "tokens": 2048,
        "row_tokens": 2048,
        "largest_tokens": 2048,
        "longest_tokens": 2048,
    }
    failure = OutOfMemory(**facts | (memory or {}))
    return Shortage(profile, ModelShape.from_config(shipped_configs()[SHAPES[shape]]), failure)


def heal(shortage: Shortage) -> dict[str, Any]:
    healing = find_healing(shortage)
    return healing.changes if healing else {}


def test_the_fewest_layers_that_are_enough_are_offloaded() -> None:
    limit = 2900.0
    shortage = make_shortage(memory={"limit_mib": limit}, training={"gradient_checkpointing": "unsloth"})
    healing = find_healing(shortage)
    assert healing is not None
    [(field, layers)] = healing.changes.items()
    assert field == "model.offload_layers"
    needed, one_less = (
        shortage.forecast_mib(apply(shortage.profile, {field: count})) for count in (layers, layers - 1)
    )
    assert needed <= TIGHT_SHARE * limit < one_less
    assert healing.frees_mib == pytest.approx(shortage.needed_mib - needed, abs=0.1)


def test_a_batch_is_divided_so_that_a_step_keeps_its_rows() -> None:
    tables = {"training": {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 3, "packing": "off"}}
    shortage = make_shortage("1b", memory={"limit_mib": 2500.0, "card": LAPTOP}, **tables)
    assert heal(shortage) == {
        "training.per_device_train_batch_size": 2,
        "training.gradient_accumulation_steps": 12,
    }


def test_a_batch_that_has_no_half_is_divided_by_what_divides_the_step() -> None:
    training = {"per_device_train_batch_size": 5, "gradient_accumulation_steps": 1, "loss_tile_mib": 16}
    tables = {"training": {"packing": "off", **training}}
    shortage = make_shortage("demo", memory={"limit_mib": None, "requested_mib": 9.0}, **tables)
    assert heal(shortage) == {
        "training.per_device_train_batch_size": 1,
        "training.gradient_accumulation_steps": 5,
    }


def test_passes_of_all_rows_of_a_step_are_divided() -> None:
    tables = {"training": {"gradient_accumulation_steps": 8, "packing": "flatten"}}
    memory = {"limit_mib": 3600.0, "card": LAPTOP, "tokens": 16384, "largest_tokens": 16384}
    shortage = make_shortage(memory=memory, **tables)
    changes = heal(shortage)
    batch = changes.get("training.per_device_train_batch_size", 1)
    assert changes["training.packing"] == "pack" and batch < 8
    assert batch * changes.get("training.gradient_accumulation_steps", 8) == 8


def test_an_evaluation_of_packed_rows_has_no_smaller_passes_than_training() -> None:
    memory = {"task": "evaluating", "limit_mib": 3000.0, "tokens": 8192, "largest_tokens": 8192}
    tables = {"training": {"per_device_train_batch_size": 4}, "evaluation": {"per_device_eval_batch_size": 8}}
    changes = heal(make_shortage(memory=memory, **tables))
    assert changes and changes.get("evaluation.per_device_eval_batch_size", 4) == 4


def test_packed_passes_become_shorter_only_where_the_rows_filled_them() -> None:
    """Eight rows of 100 tokens fill less than half of one pass: half of the batch would free nothing."""
    tables = {"training": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}}
    memory = {"limit_mib": 2900.0, "tokens": 800, "row_tokens": 100, "largest_tokens": 800, "longest_tokens": 100,
              "allocated_mib": 2400.0, "requested_mib": 100.0}  # fmt: skip
    changes = heal(make_shortage(memory=memory, **tables))
    assert "model.offload_layers" in changes and "training.per_device_train_batch_size" not in changes


def test_an_evaluation_that_found_no_memory_gets_smaller_batches() -> None:
    memory = {"task": "evaluating", "limit_mib": 4500.0, "tokens": 16384}
    shortage = make_shortage("1b", memory=memory, evaluation={"per_device_eval_batch_size": 8})
    [(field, rows)] = heal(shortage).items()
    assert field == "evaluation.per_device_eval_batch_size" and rows < 8


def test_several_changes_are_combined_and_none_is_needless() -> None:
    tables = {
        "model": {"max_seq_length": 2048},
        "training": {"per_device_train_batch_size": 4, "packing": "off", "gradient_checkpointing": True},
    }
    shortage = make_shortage("8b", memory={"limit_mib": 4200.0}, **tables)
    changes = heal(shortage)
    assert len(changes) > 2
    for field in changes:
        if "batch" in field or "accumulation" in field:
            continue
        fewer = apply(shortage.profile, {name: value for name, value in changes.items() if name != field})
        assert any(find_conflicts(fewer)) or shortage.forecast_mib(fewer) > TIGHT_SHARE * 4200


def test_what_is_learned_never_changes() -> None:
    limits = (2600.0, 3300.0, 6000.0)
    healed = 0
    for shape, limit, rows, packing, checkpointing in product(
        ("1b", "8b", "demo"), limits, (1, 6), ("auto", "off"), ("unsloth", True, False)
    ):
        training = {"per_device_train_batch_size": rows, "packing": packing, "gradient_checkpointing": checkpointing,
                    "optim": "adamw_torch"}  # fmt: skip
        shortage = make_shortage(shape, memory={"limit_mib": limit}, training=training)
        before = shortage.profile
        changes = heal(shortage)
        healed += bool(changes)
        assert {*changes} <= SAME_LEARNING
        after = Profile.model_validate(apply(before, changes).model_dump())
        assert (
            after.training.per_device_train_batch_size * after.training.gradient_accumulation_steps
            == before.training.per_device_train_batch_size * before.training.gradient_accumulation_steps
        )
    assert healed > 30


def test_each_heal_frees_more_than_the_one_before() -> None:
    """The same row fails again and again, each time a little above what the forecast promised."""
    memory = {"limit_mib": 7200.0, "allocated_mib": 6700.0, "requested_mib": 60.0}
    shortage, freed = make_shortage("8b", memory=memory), 0.0
    for _ in range(3):
        healing = find_healing(shortage, freed)
        assert healing is not None and healing.frees_mib > freed
        shortage, freed = replace(shortage, profile=apply(shortage.profile, healing.changes)), healing.frees_mib


def test_the_last_heal_takes_all_that_is_left() -> None:
    tables = {"training": {"per_device_train_batch_size": 2, "packing": "off", "loss_tile_mib": 64}}
    shortage = make_shortage("1b", memory={"limit_mib": 1900.0, "allocated_mib": 1300.0}, **tables)
    healing = find_healing(shortage, freed_before=5000.0)
    assert healing is not None
    assert healing.changes == {
        "training.loss_tile_mib": 16,
        "training.per_device_train_batch_size": 1,
        "training.gradient_accumulation_steps": 8,
        "model.offload_layers": 15,
    }


def test_the_measured_failure_counts_where_the_forecast_said_that_it_fits() -> None:
    fits = {"limit_mib": 3796.0, "allocated_mib": 3250.0, "requested_mib": 96.0}
    shortage = make_shortage("1b", memory=fits)
    assert shortage.needed_mib == 3250 + 96 + 500
    assert heal(shortage)


def test_the_probe_before_counts_too() -> None:
    shortage = make_shortage(memory={"limit_mib": 3500.0})
    probe = Probe(tokens=2048, rows=1, peak_reserved_mib=3100.0)
    assert replace(shortage, probe=probe).needed_mib == pytest.approx(3600.0)


def test_nothing_is_left_where_even_all_changes_are_not_enough() -> None:
    shortage = make_shortage("8b", memory={"limit_mib": 2000.0})
    assert find_healing(shortage) is None
    fields = {remedy.field for remedy in list_learning_remedies(shortage)}
    assert fields and fields <= {"lora.r", "model.max_seq_length", "lora.target_modules"}


def test_a_base_that_does_not_load_is_healed_only_where_it_is_forecast_to_fit() -> None:
    loading = {"task": "loading", "tokens": 0, "row_tokens": 0, "largest_tokens": 0, "longest_tokens": 0}
    shortage = make_shortage(memory={**loading, "limit_mib": 3000.0})
    assert "model.offload_layers" in heal(shortage)
    low = next(limit for limit in range(1500, 3000, 10)
               if find_healing(make_shortage(memory={**loading, "limit_mib": float(limit)})))  # fmt: skip
    training = make_shortage(memory={"limit_mib": low - 20.0})
    assert find_healing(training) is not None  # which is worth an attempt, at 5 % too much
    assert find_healing(make_shortage(memory={**loading, "limit_mib": low - 20.0})) is None


def test_a_trained_embedding_stays_on_the_card() -> None:
    shortage = make_shortage("8b", memory={"limit_mib": 6500.0}, lora={"modules_to_save": ["embed_tokens"]})
    assert "model.offload_embedding" not in heal(shortage)


def test_several_processes_move_nothing_to_host_memory_and_divide_their_batches() -> None:
    training = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}
    healings = [
        heal(make_shortage(memory={"limit_mib": float(limit)}, launch={"processes": 2}, training=training))
        for limit in range(3000, 6000, 250)
    ]
    assert not any("offload" in field for changes in healings for field in changes)
    accumulated = {changes.get("training.gradient_accumulation_steps", 2) for changes in healings}
    assert len(accumulated) > 1 and all(steps % 2 == 0 for steps in accumulated)
