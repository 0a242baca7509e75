"""The names of a model's modules: the list in the contract is what transformers builds, and a run refuses others.

To add a model type, add it to module_names.json with empty lists, and run this file with CODEX_TUI_WRITE_MODULES=1.
"""

from __future__ import annotations

import json
import os
from typing import Any

from support.training_runs import Trainer, demo_profile, events

from training.memory.module_names import BY_MODEL_TYPE

SEVEN = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj"


def test_the_list_of_names_is_what_transformers_builds(trainer: Trainer) -> None:
    listed = json.loads(BY_MODEL_TYPE.read_text())
    built = trainer.run_program("modules", "list_of_each", ",".join(listed))
    if os.environ.get("CODEX_TUI_WRITE_MODULES"):
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(names)}" for name, names in built.items())
        BY_MODEL_TYPE.write_text(f"{{\n{lines}\n}}\n")
    assert built == listed


REFUSALS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"target_modules": ["q_proj", "nope_proj"]},
        "lora.target_modules has nope_proj, which the model doesn't have.",
        f"The model has {SEVEN}.",
    ),
    (
        {"target_modules": ["wq", "wk"]},
        "lora.target_modules has wq and wk, which the model doesn't have.",
        f"The model has {SEVEN}.",
    ),
    (
        {"modules_to_save": ["lm_head", "nosuch"]},
        "lora.modules_to_save has nosuch, which the model doesn't have.",
        "The model has embed_tokens, input_layernorm, post_attention_layernorm, norm and lm_head.",
    ),
]


def test_a_module_that_the_model_does_not_have_ends_the_run_before_it_loads(trainer: Trainer) -> None:
    loras = json.dumps([lora for lora, _, _ in REFUSALS])
    assert trainer.run_program("modules", "refuse", loras) == [
        ["bad_config", message, hint] for _, message, hint in REFUSALS
    ]
    lora, message, hint = REFUSALS[-1]
    run = trainer.run("modules", demo_profile(lora=lora, training={"max_steps": 1}))
    assert trainer.train(run) == 1
    failed = events(run)[-1]
    assert (failed["type"], failed["kind"], failed["message"], failed["hint"]) == (
        "failed",
        "bad_config",
        message,
        hint,
    )
    assert [event["detail"] for event in events(run, "phase")] == ["Unsloth", "demo:llama"]  # not the adapter
