"""Tests reading the facts of a run from config.json, whatever the file contains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.config_file import read_config, write_config

from codex_tui.runs.facts import read_facts
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "zombie-1")
    run.create()
    return run


def test_the_facts_of_a_real_config(run: RunDirectory) -> None:
    profile = Profile.model_validate({"title": "Four GB", "model": {"name": "owner/Llama-3.2-3B/"}})
    config = {"profile_name": "rtx", "profile": profile.model_dump(mode="json"), "dataset": "/rows.jsonl"}
    write_config(run, config)
    facts = read_facts(run)
    assert (facts.name, facts.profile_name, facts.title) == ("zombie-1", "rtx", "Four GB")
    assert (facts.model, facts.short_model) == ("owner/Llama-3.2-3B/", "Llama-3.2-3B")
    assert (facts.dataset, facts.epochs, facts.newer) == ("/rows.jsonl", 1.0, "")
    assert facts.config is not None
    assert json.loads(facts.config.to_json()) == {"version": 1, **read_config(run)}


def test_steps_override_epochs(run: RunDirectory) -> None:
    write_config(run, {"profile": {"training": {"num_train_epochs": 3, "max_steps": 10}}})
    assert read_facts(run).epochs is None


@pytest.mark.parametrize("text", [None, "", "{", "[]", '"text"', "\xff"])
def test_without_a_config_only_the_name_is_known(run: RunDirectory, text: str | None) -> None:
    if text is not None:
        run.config.write_bytes(text.encode("latin-1"))
    facts = read_facts(run)
    assert (facts.name, facts.model, facts.short_model, facts.epochs) == ("zombie-1", "", "", None)


@pytest.mark.parametrize(
    "config",
    [
        {"profile": None, "dataset": 5},
        {"profile": {"model": [], "training": "x"}},
        {"profile": {"training": {"num_train_epochs": "three"}}},
    ],
)
def test_values_of_a_wrong_type_are_ignored(run: RunDirectory, config: dict[str, Any]) -> None:
    write_config(run, config)
    assert read_facts(run).epochs is None


def test_every_text_is_safe_to_show(run: RunDirectory) -> None:
    evil = "a\x1b]0;owned\x07b"
    write_config(
        run, {"profile_name": evil, "dataset": evil, "profile": {"title": evil, "model": {"name": f"x/{evil}"}}}
    )
    facts = read_facts(run)
    shown = [facts.profile_name, facts.title, facts.model, facts.short_model, facts.dataset]
    assert all("owned" in text and "\x1b" not in text and "\x07" not in text for text in shown)


@pytest.mark.parametrize(
    ("device", "first"), [("auto", 0), ("cpu", 0), (1, 1), ([2, 3], 2), ([], 0), (["x"], 0), (None, 0)]
)
def test_the_first_card_of_the_run_is_known(run: RunDirectory, device: Any, first: int) -> None:
    write_config(run, {"profile": {"hardware": {"device": device}}})
    assert read_facts(run).device == first
