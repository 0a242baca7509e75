"""The modules of every model type in training/memory/module_names.json, as transformers builds it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from training.contract.failures import TrainingFailure
from training.contract.profile import Profile
from training.finetune.modules import list_module_names, require_modules
from training.job.model import read_config, resolve_source
from training.memory.module_names import ModuleNames

ONE_LAYER = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")


def list_of_each(model_types: str) -> dict[str, dict[str, list[str]]]:
    """The names for each of `model_types`, which are separated by commas."""
    listed = {}
    for model_type in model_types.split(","):
        config = AutoConfig.for_model(model_type)
        for name in ONE_LAYER:
            if hasattr(config, name):
                setattr(config, name, 1)
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[:1]
        with torch.device("meta"):
            names = list_module_names(AutoModelForCausalLM.from_config(config))
        listed[model_type] = {"linear": list(names.linear), "whole": list(names.whole)}
    return listed


def refuse(loras: str) -> list[list[str]]:
    """[kind, message, hint] of the failure for each of `loras`, a JSON list of the profile's table, with the demo."""
    names = ModuleNames.from_config(read_config(resolve_source("demo:llama", Path("cache")), None))
    assert names is not None
    attempt: Any = SimpleNamespace(resume_from=None)
    failures = []
    for lora in json.loads(loras):
        try:
            require_modules(attempt, Profile.model_validate({"model": {"name": "demo:llama"}, "lora": lora}), names)
        except TrainingFailure as failure:
            failures.append([failure.kind, failure.message, failure.hint])
    return failures
