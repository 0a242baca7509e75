"""`--sweep TABLE.FIELD=VALUE,VALUE`: the combinations, their names, and one clear error for a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_tui.base.errors import BadInput
from codex_tui.profiles.sweep import parse_sweep


def test_all_combinations_in_order() -> None:
    variants = parse_sweep(["training.learning_rate=1e-4, 2e-4", "lora.r=8,16"])
    assert [variant.overrides for variant in variants] == [
        {"training.learning_rate": rate, "lora.r": r} for rate in (1e-4, 2e-4) for r in (8, 16)
    ]
    assert [variant.label for variant in variants] == ["lr1e-4-r8", "lr1e-4-r16", "lr2e-4-r8", "lr2e-4-r16"]


def test_without_options_there_is_one_run_as_the_profile_says() -> None:
    assert [(variant.overrides, variant.label) for variant in parse_sweep([])] == [({}, "")]


@pytest.mark.parametrize(
    ("option", "labels"),
    [
        ("training.lr_scheduler_type=cosine,linear", ["cosine", "linear"]),
        ("training.packing=off,auto", ["packing-off", "packing-auto"]),
        ("lora.use_rslora=true,false", ["use-rslora-true", "use-rslora-false"]),
        ("lora.lora_alpha=16", ["alpha16"]),
        ("model.name=unsloth/Llama-3.2-1B,'unsloth/Qwen3 4B'", ["Llama-3.2-1B", "Qwen3-4B"]),
        ('lora.target_modules=["q_proj"],["q_proj","v_proj"]', ["q-proj", "q-proj-v-proj"]),
        ('dataset.system_prompt="Hi, you","[no"', ["system-prompt-Hi-you", "system-prompt-no"]),
    ],
)
def test_a_label_names_the_value(option: str, labels: list[str]) -> None:
    assert [variant.label for variant in parse_sweep([option])] == labels


def test_paths_are_those_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    variants = parse_sweep(["dataset.path=data/a.jsonl,b.jsonl"])
    assert [variant.overrides["dataset.path"] for variant in variants] == [
        str(tmp_path / "data/a.jsonl"), str(tmp_path / "b.jsonl"),
    ]  # fmt: skip
    assert [variant.label for variant in variants] == ["a.jsonl", "b.jsonl"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["lora.r"], "--sweep lora.r: has no value"),
        (["lora.r="], "--sweep lora.r: a value is empty"),
        (["lora.r=8,,16"], "--sweep lora.r: a value is empty"),
        (["lora.r=8,0"], "--sweep lora.r: should be a whole number, at least 1"),
        (["lora.rr=8"], "--sweep lora.rr: unknown field; did you mean"),
        (["r=8"], "--sweep r: unknown field"),
        (["lora=8"], "--sweep lora: is a table"),
        (["lora.r=8", "lora.r=16"], "--sweep lora.r is there twice"),
        (["lora.r=8,16,8"], "--sweep lora.r: the value 8 is there twice"),
        (["training.learning_rate=1e-4,0.0001"], "the value 0.0001 is there twice"),
        ([f"lora.r={','.join(map(str, range(1, 102)))}", "training.seed=1,2,3,4,5,6,7,8,9,10"], "has 1,010 runs"),
    ],
)
def test_a_mistake_is_named(options: list[str], message: str) -> None:
    with pytest.raises(BadInput) as error:
        parse_sweep(options)
    assert message in error.value.message
    assert error.value.hint
