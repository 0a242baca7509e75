"""The fields that let several processes train one run."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from training.contract.profile import Profile
from training.dataset.split import count_steps


def make_profile(**tables: dict[str, Any]) -> Profile:
    return Profile.model_validate({"model": {"name": "demo:llama"}} | tables)


@pytest.mark.parametrize(
    ("tables", "processes", "accumulated"),
    [
        ({}, 1, 4),
        ({"hardware": {"device": 1}}, 1, 4),
        ({"hardware": {"device": [3]}}, 1, 4),
        ({"hardware": {"device": [0, 1]}}, 2, 2),
        ({"hardware": {"device": [0, 1]}, "launch": {"processes": 2}}, 2, 2),
        ({"launch": {"processes": 4}}, 4, 1),
        ({"hardware": {"device": "cpu"}, "launch": {"processes": 2}}, 2, 2),
        ({"launch": {"processes": 3, "keep_batch": False}}, 3, 4),
    ],
)
def test_accumulated_batches_are_divided_by_the_processes(
    tables: dict[str, Any], processes: int, accumulated: int
) -> None:
    profile = make_profile(**tables)
    assert (profile.processes, profile.process_accumulation_steps) == (processes, accumulated)


@pytest.mark.parametrize(
    ("tables", "field", "reason"),
    [
        ({"hardware": {"device": [0, 0]}}, "hardware.device", "a GPU is listed twice; each process needs a card"),
        (
            {"hardware": {"device": [0, 1]}, "launch": {"processes": 4}},
            "launch.processes",
            "hardware.device lists 2 cards; leave processes unset, or list 4",
        ),
        (
            {"hardware": {"device": 1}, "launch": {"processes": 2}},
            "hardware.device",
            "launch.processes needs 2 cards; list them, as [0, 1]",
        ),
        (
            {"launch": {"processes": 3}},
            "training.gradient_accumulation_steps",
            "4 can't be divided by the 3 processes; use 6, or set launch.keep_batch = false",
        ),
        (
            {"launch": {"processes": 2}, "model": {"name": "demo:llama", "offload_layers": "auto"}},
            "model.offload_layers",
            "each of the 2 processes keeps the whole model on its card",
        ),
        (
            {"launch": {"strategy": "fsdp"}},
            "launch.strategy",
            "one process has nobody to share the model with; list several in hardware.device",
        ),
        (
            {"hardware": {"device": [1, 2]}, "model": {"name": "demo:llama", "offload_embedding": True}},
            "model.offload_embedding",
            "each of the 2 processes keeps the whole model on its card",
        ),
    ],
)
def test_contradictions_are_named(tables: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(ValidationError) as raised:
        make_profile(**tables)
    conflicts = raised.value.errors()[0]["ctx"]["fields"]
    assert list(conflicts) == [field] and conflicts[field].startswith(reason)


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 64, 65])
def test_a_run_with_the_batch_kept_has_the_same_steps(rows: int) -> None:
    one, two, four = (make_profile(launch={"processes": count}) for count in (1, 2, 4))
    assert count_steps(one, rows) == count_steps(two, rows) == count_steps(four, rows)


def test_larger_batches_make_fewer_steps() -> None:
    assert count_steps(make_profile(launch={"processes": 2, "keep_batch": False}), 64).per_epoch == 8
    assert count_steps(make_profile(), 64).per_epoch == 16
