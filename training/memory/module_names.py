"""The modules that a model has, by name. An adapter can only be put on these, and only these can be trained whole."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.contract.profile import Profile

EMBEDDINGS = ("embed_tokens", "lm_head")  # as targets, Unsloth trains them whole
MAX_LISTED, MAX_NAME_LENGTH = 20, 60
BY_MODEL_TYPE = Path(__file__).with_name("module_names.json")
"""Written and checked by tests/trainer/test_modules.py, from transformers."""


@dataclass(frozen=True)
class ModuleNames:
    """`linear` can have an adapter, and `whole` can be trained whole: embeddings, norms and the head. `others` are
    further names that peft accepts."""

    linear: tuple[str, ...]
    whole: tuple[str, ...]
    others: frozenset[str] = frozenset()

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ModuleNames | None:
        """Return the names for a model's config.json; None for a type of model that is not in the list."""
        names = _read_list().get(str(config.get("model_type")))
        return cls(tuple(names["linear"]), tuple(names["whole"])) if names else None


class UnknownModules(ValueError):
    """A profile's `field` names modules that its model doesn't have. `hint` lists those that it has."""

    def __init__(self, field: str, unknown: list[str], available: Iterable[str]) -> None:
        self.field = field
        self.problem = f"has {_join(unknown)}, which the model doesn't have"
        self.message = f"{field} {self.problem}."
        self.hint = f"The model has {_join(available)}."
        super().__init__(self.message)


def check_module_names(profile: Profile, names: ModuleNames) -> None:
    """Raise UnknownModules if the profile's table `lora` names modules that are not among `names`."""
    lora, targets = profile.lora, {*names.linear, *EMBEDDINGS, *names.others}
    if unknown := [name for name in lora.target_modules if not any(_is_suffix(name, target) for target in targets)]:
        raise UnknownModules("lora.target_modules", unknown, names.linear)
    saved = {*names.whole, *names.others}
    if unknown := [name for name in lora.modules_to_save if not any(_ends_with(name, module) for module in saved)]:
        raise UnknownModules("lora.modules_to_save", unknown, names.whole)


def _is_suffix(asked: str, module: str) -> bool:
    """Compare as peft compares target modules: by whole parts of the path. Either may have more parts."""
    return f".{module}".endswith(f".{asked}") or asked.endswith(f".{module}")


def _ends_with(asked: str, module: str) -> bool:
    """Compare as peft compares modules to save: "norm" is every module whose name ends so."""
    return bool(asked) and (module.endswith(asked) or asked.endswith(f".{module}"))


def _join(names: Iterable[str]) -> str:
    listed = [name[:MAX_NAME_LENGTH] or '""' for name in names]
    if len(listed) > MAX_LISTED:
        listed[MAX_LISTED:] = [f"{len(listed) - MAX_LISTED} more"]
    *first, last = listed
    return f"{', '.join(first)} and {last}" if first else last


@functools.cache
def _read_list() -> dict[str, dict[str, list[str]]]:
    names: dict[str, dict[str, list[str]]] = json.loads(BY_MODEL_TYPE.read_text(encoding="utf-8"))
    return names
