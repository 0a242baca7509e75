from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.config_file import write_config

from codex_tui.base.errors import BadInput
from codex_tui.export.plan import BaseWeights, make_plan
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "runs" / "waves")


def make_run(path: Path, base: str = "unsloth/Tiny-Instruct", **actual: Any) -> RunDirectory:
    run = RunDirectory(path)
    run.create()
    profile = Profile.model_validate(
        {"title": "", "model": {"name": base, "revision": "abc"}, "dataset": {"path": "x"}}
    )
    values = {"profile": profile.model_dump(mode="json"), "dataset": "x", "name": path.name}
    write_config(run, values | {"actual": {"model": actual} if actual else {}})
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    (run.adapter / "adapter_model.safetensors").write_bytes(b"weights")
    return run


def test_the_default_folder_is_in_the_run(run: RunDirectory) -> None:
    plan = make_plan(run, "merged")
    assert (plan.out, plan.adapter, plan.quants, plan.proves) == (
        run.exports / "merged",
        run.adapter,
        ("q4_k_m",),
        True,
    )
    assert plan.base == BaseWeights("trained", "unsloth/Tiny-Instruct", "abc")
    assert plan.dtype is None
    assert make_plan(run, "gguf").dtype == "float16"


def test_a_folder_of_the_person(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_plan(run, "merged", out="model").out == tmp_path / "model"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").touch()
    with pytest.raises(BadInput, match="has files of something else"):
        make_plan(run, "merged", out="model")


def test_the_types_of_gguf_files(run: RunDirectory) -> None:
    assert make_plan(run, "gguf", quants=["Q8_0", " f16 ", "q8_0", ""]).quants == ("q8_0", "f16")
    with pytest.raises(BadInput, match="--quant q9 is not known"):
        make_plan(run, "gguf", quants=["q9"])
    with pytest.raises(BadInput, match="--quant does not go with --to merged"):
        make_plan(run, "merged", quants=["q8_0"])


@pytest.mark.parametrize(
    ("profile", "actual", "original"),
    [
        # the trainer took Unsloth's 4-bit copy of the model that the profile names
        ("unsloth/Tiny", "unsloth/tiny-unsloth-bnb-4bit", BaseWeights("original", "unsloth/Tiny", "abc")),
        ("unsloth/Tiny-bnb-4bit", "unsloth/Tiny-bnb-4bit", BaseWeights("original", "unsloth/Tiny")),
        ("unsloth/Tiny-unsloth-bnb-4bit", None, BaseWeights("original", "unsloth/Tiny")),
        ("unsloth/Tiny", None, BaseWeights("original", "unsloth/Tiny", "abc")),
        ("/models/tiny-bnb-4bit", None, BaseWeights("original", "/models/tiny-bnb-4bit", "abc")),
        ("demo:llama", None, BaseWeights("original", "demo:llama", "abc")),
    ],
)
def test_the_original_of_a_4_bit_model(tmp_path: Path, profile: str, actual: str | None, original: BaseWeights) -> None:
    run = make_run(tmp_path / "run", profile, **({"name": actual} if actual else {}))
    assert make_plan(run, "merged", base="original").base == original
    assert make_plan(run, "merged").base.name == (actual or profile)


def test_base_weights_of_the_person(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    assert make_plan(run, "merged", base="base").base == BaseWeights("original", str(tmp_path / "base"))
    assert make_plan(run, "merged", base="meta/Tiny").base == BaseWeights("original", "meta/Tiny")


def test_a_run_without_an_adapter(run: RunDirectory) -> None:
    (run.adapter / "adapter_config.json").unlink()
    with pytest.raises(BadInput, match="no adapter"):
        make_plan(run, "merged")
