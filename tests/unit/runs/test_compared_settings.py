"""The settings of a run for a comparison: with defaults, as they ran, and from damaged and older runs."""

from __future__ import annotations

from typing import Any

import pytest
from support.config_file import read_config, write_config
from support.fake_runs import make_run

from codex_tui.runs.compared_settings import (
    MAX_TEXT,
    TOO_DEEP,
    find_differences,
    format_setting,
    make_key,
    read_settings,
)
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")
PROFILE = {"model": {"name": "demo:llama"}, "training": {"learning_rate": 0.003}, "launch": {"name": "zombies"}}


def make(name: str, **values: Any) -> RunDirectory:
    run = make_run(name)
    write_config(run, {"profile": PROFILE, **values})
    return run


def test_defaults_are_resolved_and_what_ran_counts() -> None:
    actual = {"training": {"optim": "adamw_torch_fused"}, "model": {"name": "demo:llama", "offload_layers": 12}}
    found = {"sha256": "1a" * 32, "rows": 440, "train_rows": 400, "eval_rows": 40}
    run = make("a", actual=actual, dataset="guide.jsonl", dataset_fingerprint=found, stack={"torch": "2.13", "x": None})
    settings = read_settings(run)
    values = settings.values
    assert (values["training.learning_rate"], values["lora.r"]) == (0.003, 16)
    assert (values["training.optim"], values["model.offload_layers"]) == ("adamw_torch_fused", 12)
    assert (values["dataset.path"], values["dataset.fingerprint"]) == ("guide.jsonl", "1a" * 6)
    assert (values["dataset.train_rows"], values["dataset.eval_rows"]) == (400, 40)
    assert "launch.name" not in values and not settings.trouble
    assert settings.versions == {"torch": "2.13"}


def test_a_healed_setting_counts_as_it_ran() -> None:
    healed = {"model.offload_layers": 9}
    assert read_settings(make("a", healed=healed)).values["model.offload_layers"] == 9
    actual = {"model": {"offload_layers": 11}}
    assert read_settings(make("b", healed=healed, actual=actual)).values["model.offload_layers"] == 11


def test_a_run_from_before_a_field_did_what_its_program_did() -> None:
    old, new = make("old"), make("new", profile={**PROFILE, "dataset": {"learn": "all_answers"}})
    differences = find_differences([read_settings(run).values for run in (old, new)])
    assert differences == ["dataset.learn"]  # both resolve to packing = "off", so that does not differ


def test_a_damaged_config_leaves_the_settings_unknown() -> None:
    run = make("a")
    run.config.write_text("{")
    assert read_settings(run).trouble == "config.json is damaged. The settings of this run are not known."
    run.config.unlink()
    assert read_settings(run).trouble == "config.json is missing. The settings of this run are not known."
    assert read_settings(run).values == {}


def test_a_profile_with_an_unknown_field_is_compared_as_it_is_written() -> None:
    run = make("a", profile={**PROFILE, "lora": {"rank": 8}})
    settings = read_settings(run)
    assert settings.values["lora.rank"] == 8 and "lora.r" not in settings.values
    assert settings.trouble.startswith("config.json is damaged (profile.lora.rank: ")
    other = read_settings(make("b"))
    assert find_differences([settings.values, other.values]) == []  # what one run does not say is not a difference


def test_a_newer_config_says_so() -> None:
    run = make("a")
    write_config(run, {**read_config(run), "version": 99})
    trouble = read_settings(run).trouble
    assert "newer Codex TUI" in trouble and "pip install -U" in trouble


def test_equal_values_have_equal_keys() -> None:
    assert make_key(12) == make_key(12.0) != make_key(True)
    assert make_key(["q_proj"]) != make_key("q_proj")


def test_settings_are_written_plainly() -> None:
    assert [format_setting(value) for value in (None, True, 2e-5, 6 * 1e-4, ["q", "k"], [], "", "a\x1b[2J\nb")] == [
        "unset", "true", "2e-05", "0.0006", "q, k", "none", '""', "a␛[2J↵b",
    ]  # fmt: skip
    assert "aB3" not in format_setting("use hf_" + "aB3" * 12)


def test_values_that_no_trainer_writes_are_compared_all_the_same() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    actual = {"lora": {"r": 10**400, "lora_alpha": deep, "bias": {"a": 1}}, "training": 7, "model": {"name": 5}}
    odd, other = read_settings(make("odd", actual=actual)), read_settings(make("other"))
    names = find_differences([odd.values, other.values])
    assert {"lora.r", "lora.lora_alpha", "lora.bias", "model.name"} <= {*names}
    assert all(len(format_setting(odd.values[name])) <= MAX_TEXT for name in names)
    assert odd.base_model == "5"


def test_a_value_that_is_nested_too_deeply_is_left_out() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert format_setting(deep) == make_key(deep) == TOO_DEEP
