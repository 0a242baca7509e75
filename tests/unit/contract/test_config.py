"""config.json is read and written in one place: of older versions, this one and a newer one, whole and damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from training.contract.config import (
    ConfigDamaged,
    ConfigError,
    ConfigMissing,
    ConfigTooNew,
    Fingerprint,
    Hub,
    RunConfig,
    get_table,
)
from training.contract.profile import Profile
from training.dataset.source import DEMO_FILE, Source, source_from_config

FIRST_PROFILE = """{
    "title": "", "description": "", "hardware": {"device": "auto", "vram_limit_mib": null},
    "model": {"name": "demo:llama", "revision": null, "max_seq_length": 2048, "load_in_4bit": true, "dtype": "auto",
              "offload_layers": 0},
    "lora": {"r": 16, "lora_alpha": 16, "lora_dropout": 0.0, "bias": "none", "target_modules": ["q_proj", "v_proj"],
             "modules_to_save": [], "use_rslora": false},
    "dataset": {"path": "demo:zombie-waves", "eval_fraction": 0.05, "max_eval_rows": 200, "system_prompt": null,
                "on_bad_rows": "refuse"},
    "training": {"num_train_epochs": 1.0, "max_steps": null, "per_device_train_batch_size": 1,
                 "gradient_accumulation_steps": 4, "learning_rate": 0.0002, "lr_scheduler_type": "linear",
                 "warmup_steps": 10, "weight_decay": 0.01, "max_grad_norm": 1.0, "optim": "adamw_8bit",
                 "gradient_checkpointing": "unsloth", "seed": 3407, "logging_steps": 1},
    "evaluation": {"eval_steps": null, "per_device_eval_batch_size": 1, "sample_prompt": null,
                   "sample_max_new_tokens": 96},
    "checkpoints": {"save_steps": null, "save_total_limit": 2}}"""
"""As the first launcher wrote it: without the fields and the table `launch` that came later."""

LAUNCHED = f"""{{
  "version": 1, "name": "demo-1", "created": 1763900000.123, "app_version": "0.1.0", "profile_name": "demo",
  "profile": {FIRST_PROFILE}, "dataset": "demo:zombie-waves", "python": "/envs/codex-train/bin/python",
  "cache": "/home/me/.cache/codex-tui"
}}"""
"""By the first launcher, before the trainer started."""

TRAINED = f"""{LAUNCHED.rstrip().removesuffix("}").rstrip()},
  "stack": {{"torch": "2.9.0", "bitsandbytes": null}},
  "actual": {{"title": "", "model": {{"name": "demo:llama", "dtype": "float32"}}}},
  "dataset_fingerprint": {{"sha256": "{"0" * 64}", "rows": 220, "train_rows": 209, "eval_rows": 11, "dropped_rows": 0,
                           "truncated_rows": 0}}
}}"""
"""By the first trainer."""

OF_THE_HUB = f"""{TRAINED.rstrip().removesuffix("}").rstrip()},
  "overrides": {{"training.max_steps": 5}}, "files": ["/cache/a/train.jsonl"],
  "hub": {{"repo": "me/waves", "revision": "abc"}}
}}"""
"""By a later launcher, with --set, on a dataset of the Hub."""

VIEW = f'{{"version": 1, "profile": {FIRST_PROFILE}, "dataset": "/r.jsonl", "files": ["/r.jsonl"], "cache": "/cache"}}'
"""What the data screen writes for the inspect worker."""

WHOLE: dict[str, Any] = json.loads(OF_THE_HUB)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "zombies-1"
    folder.mkdir()
    return folder / "config.json"


@pytest.mark.parametrize("text", [LAUNCHED, TRAINED, OF_THE_HUB, VIEW])
def test_older_files_open_and_are_written_as_they_were(path: Path, text: str) -> None:
    path.write_text(text)
    config, profile = RunConfig.read_with_profile(path)
    first = json.loads(FIRST_PROFILE)
    first["dataset"]["learn"] = "last_answer"  # what such a run learned
    first["training"]["packing"] = "off"
    assert profile == Profile.model_validate(first)
    config.write(path)
    assert json.loads(path.read_text()) == json.loads(text)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_keys_are_typed(path: Path) -> None:
    path.write_text(OF_THE_HUB)
    config = RunConfig.read(path)
    assert (config.version, config.name, config.created, config.app_version) == (1, "demo-1", 1763900000.123, "0.1.0")
    assert (config.profile_name, config.python) == ("demo", "/envs/codex-train/bin/python")
    assert (config.overrides, config.stack["bitsandbytes"]) == ({"training.max_steps": 5}, None)
    assert get_table(config.actual, "model")["dtype"] == "float32"
    assert config.dataset_fingerprint == Fingerprint(
        sha256="0" * 64, rows=220, train_rows=209, eval_rows=11, dropped_rows=0, truncated_rows=0
    )
    assert source_from_config(config) == Source(
        "demo:zombie-waves", (Path("/cache/a/train.jsonl"),), Hub("me/waves", "abc")
    )


def test_a_file_without_a_version_is_of_the_first(path: Path) -> None:
    path.write_text(json.dumps({key: value for key, value in json.loads(LAUNCHED).items() if key != "version"}))
    config = RunConfig.read(path)
    assert (config.version, config.files, config.hub, config.overrides) == (1, None, None, {})
    assert (config.stack, config.actual, config.dataset_fingerprint) == ({}, {}, None)
    assert source_from_config(config).files == (DEMO_FILE,)


def test_keys_that_are_not_known_are_kept_when_the_trainer_adds_its_own(path: Path) -> None:
    path.write_text(json.dumps(WHOLE | {"judge": {"rounds": 3}, "unknown": "x"}))
    msgspec.structs.replace(RunConfig.read(path), stack={"torch": "9"}).write(path)
    assert json.loads(path.read_text()) == WHOLE | {"judge": {"rounds": 3}, "unknown": "x", "stack": {"torch": "9"}}


def test_a_newer_version_is_named(path: Path) -> None:
    path.write_text(json.dumps({"version": 2, "settings": "all is different"}))
    with pytest.raises(ConfigTooNew) as caught:
        RunConfig.read(path)
    assert caught.value.message == "zombies-1 was written by a newer Codex TUI (config version 2, this one knows 1)."
    assert caught.value.hint == "Update: pip install -U codex-tui."


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({"version": "2"}, "version", "Expected `int`, got `str`"),
        ({"version": True}, "version", "Expected `int`, got `bool`"),
        ({"profile": 5}, "profile", "Expected `object`, got `int`"),
        ({"created": "today"}, "created", "Expected `float | null`, got `str`"),
        ({"created": 10**400}, "created", "Number out of range"),
        ({"files": ["/a", 5]}, "files[1]", "Expected `str`, got `int`"),
        ({"hub": {"repo": "a/b"}}, "hub.revision", "missing"),
        ({"dataset_fingerprint": []}, "dataset_fingerprint", "Expected `object | null`, got `array`"),
        ({"profile": {"model": {"name": 5}}}, "profile.model.name", "Input should be a valid string"),
    ],
)
def test_damage_is_named_by_file_and_field(path: Path, values: dict[str, Any], field: str, reason: str) -> None:
    path.write_text(json.dumps(WHOLE | values))
    with pytest.raises(ConfigDamaged) as caught:
        RunConfig.read_with_profile(path)
    assert (caught.value.field, caught.value.message) == (field, f"{path} is damaged ({field}: {reason}).")


@pytest.mark.parametrize("key", ["profile", "dataset"])
def test_a_key_that_every_file_has_is_missed(path: Path, key: str) -> None:
    path.write_text(json.dumps({name: value for name, value in WHOLE.items() if name != key}))
    with pytest.raises(ConfigDamaged) as caught:
        RunConfig.read(path)
    assert caught.value.trouble == f"damaged ({key}: missing)"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'"text"', b"\xff", b"[" * 100_000, b'{"profile": ' + b"[" * 9_999])
def test_what_is_no_json_object_is_damaged(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(ConfigDamaged) as caught:
        RunConfig.read(path)
    assert (caught.value.field, caught.value.message) == ("", f"{path} is damaged.")


@pytest.mark.parametrize(
    ("make", "trouble"), [(Path.exists, "missing"), (Path.mkdir, "not a file"), (os.mkfifo, "not a file")]
)
def test_a_file_that_is_not_there_is_missing(path: Path, make: Callable[[Path], object], trouble: str) -> None:
    make(path)
    with pytest.raises(ConfigMissing) as caught:
        RunConfig.read(path)
    assert (caught.value.trouble, caught.value.message) == (trouble, f"{path} is {trouble}.")


def test_a_file_that_may_not_be_read_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(LAUNCHED)
    monkeypatch.setattr(
        "training.contract.files.open_file",
        lambda path: (_ for _ in ()).throw(PermissionError(13, "Permission denied")),
    )
    with pytest.raises(ConfigError, match=r"config\.json is not readable \(Permission denied\)\."):
        RunConfig.read(path)


def test_a_run_from_before_dataset_learn_learned_the_last_answer(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for dataset, learn in (({}, "last_answer"), ({"learn": "all_answers"}, "all_answers"), (None, "last_answer")):
        profile = {"model": {"name": "-"}} | ({} if dataset is None else {"dataset": dataset})
        path.write_text(json.dumps({"version": 1, "profile": profile, "dataset": "rows.jsonl", "cache": "/c"}))
        assert RunConfig.read_with_profile(path)[1].dataset.learn == learn


def test_a_run_from_before_training_packing_goes_on_unpacked(path: Path) -> None:
    for training, packing in (({}, "off"), ({"packing": "auto"}, "auto"), (None, "off")):
        profile = {"model": {"name": "-"}} | ({} if training is None else {"training": training})
        path.write_text(json.dumps({"version": 1, "profile": profile, "dataset": "rows.jsonl"}))
        assert RunConfig.read_with_profile(path)[1].training.packing == packing


def test_a_run_without_eval_files_holds_out_rows_of_its_files(tmp_path: Path) -> None:
    before = RunConfig(profile={}, dataset="rows", files=["/rows/train.jsonl", "/rows/validation.jsonl"])
    before.write(tmp_path / "config.json")
    source = source_from_config(RunConfig.read(tmp_path / "config.json"))
    assert source.train_files == source.files == (Path("/rows/train.jsonl"), Path("/rows/validation.jsonl"))
    now = RunConfig(profile={}, dataset="rows", files=["/rows/train.jsonl"], eval_files=["/rows/validation.jsonl"])
    now.write(tmp_path / "config.json")
    source = source_from_config(RunConfig.read(tmp_path / "config.json"))
    assert (source.train_files, source.eval_files) == ((Path("/rows/train.jsonl"),), (Path("/rows/validation.jsonl"),))
