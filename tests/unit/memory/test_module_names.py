"""Names of modules that a model does not have."""

from __future__ import annotations

from typing import Any

import pytest

from training.contract.profile import Profile
from training.memory.model_shape import shipped_configs
from training.memory.module_names import ModuleNames, UnknownModules, check_module_names

LLAMA = ModuleNames.from_config(shipped_configs()["demo:llama"])
GPT2 = ModuleNames.from_config({"model_type": "gpt2"})


def check(names: ModuleNames | None, **lora: Any) -> str:
    """Return the message and the hint; "" if all modules are there."""
    assert names is not None
    try:
        check_module_names(Profile.model_validate({"model": {"name": "a"}, "lora": lora}), names)
    except UnknownModules as unknown:
        return str(unknown.message) + " " + unknown.hint
    return ""


@pytest.mark.parametrize(
    "lora",
    [
        {},
        {"target_modules": ["q_proj", "self_attn.v_proj", "model.layers.0.mlp.up_proj"]},
        {"target_modules": ["q_proj", "lm_head", "embed_tokens"]},
        {"modules_to_save": ["embed_tokens", "model.lm_head", "input_layernorm", "norm"]},
    ],
)
def test_all_names_of_the_model_are_accepted(lora: dict[str, Any]) -> None:
    assert check(LLAMA, **lora) == ""


SEVEN = "The model has q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj."


@pytest.mark.parametrize(
    ("lora", "says"),
    [
        (
            {"target_modules": ["gate_porj"]},
            f"lora.target_modules has gate_porj, which the model doesn't have. {SEVEN}",
        ),
        (
            {"target_modules": ["all-linear"]},
            f"lora.target_modules has all-linear, which the model doesn't have. {SEVEN}",
        ),
        ({"target_modules": ["q"]}, f"lora.target_modules has q, which the model doesn't have. {SEVEN}"),
        (
            {"target_modules": ["", "norm"]},
            f'lora.target_modules has "" and norm, which the model doesn\'t have. {SEVEN}',
        ),
        (
            {"modules_to_save": ["lm_head", "nosuch", ""]},
            'lora.modules_to_save has nosuch and "", which the model doesn\'t have. '
            "The model has embed_tokens, input_layernorm, post_attention_layernorm, norm and lm_head.",
        ),
    ],
)
def test_others_are_named_with_those_that_the_model_has(lora: dict[str, Any], says: str) -> None:
    assert check(LLAMA, **lora) == says


def test_each_type_of_model_has_its_own_names() -> None:
    assert "has q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj, which the model doesn't" in check(
        GPT2
    )
    assert check(GPT2).endswith("The model has c_attn, c_proj and c_fc.")
    assert check(GPT2, target_modules=["c_attn"]) == ""
    assert ModuleNames.from_config({"model_type": "new"}) is None
    assert ModuleNames.from_config({"model_type": []}) is None


def test_a_long_list_is_shortened() -> None:
    says = check(LLAMA, target_modules=[f"{number}" * 1000 for number in range(500)])
    assert len(says) < 2000
    assert "and 480 more, which" in says
