"""FSDP before any library is loaded: where it can't run, and what it changes."""

from __future__ import annotations

import importlib.util
import os

import pytest
from support.training_runs import demo_profile

from training.contract.failures import TrainingFailure
from training.contract.profile import Profile
from training.finetune import sharding


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSLOTH_FSDP2", "unset")


def make_profile(strategy: str) -> Profile:
    return demo_profile(training={"gradient_accumulation_steps": 2}, launch={"processes": 2, "strategy": strategy})


def test_without_triton_the_run_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrainingFailure) as refused:
        sharding.prepare(make_profile("fsdp"))
    assert (refused.value.kind, refused.value.hint) == ("bad_config", 'Set launch.strategy = "ddp".')


def test_unsloth_is_asked_for_it_only_where_the_profile_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    sharding.prepare(make_profile("ddp"))
    assert os.environ["UNSLOTH_FSDP2"] == "unset"
    sharding.prepare(make_profile("fsdp"))
    assert os.environ["UNSLOTH_FSDP2"] == "1"
