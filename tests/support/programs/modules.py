"""The modules of every model type in training/memory/module_names.json, as transformers builds it."""

from __future__ import annotations

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from training.finetune.modules import list_module_names

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
