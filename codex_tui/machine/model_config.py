"""Checks a profile against the files of its model on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.contract.model_path import find_model_folder
from training.contract.profile import Profile
from training.memory.model_config import find_cached, read_json
from training.memory.module_names import ModuleNames, UnknownModules, check_module_names


def lacks_chat_template(profile: Profile, path: Path) -> bool:
    """Whether the tokenizer of the model in `profile`, loaded from the file at `path`, is on this machine and has no
    chat template, and the profile gives it none."""
    model = profile.model
    if model.chat_template:
        return False
    if not (folder := find_model_folder(model.name, path.parent)):
        cached = find_cached(model.name, "tokenizer_config.json", model.revision)
        if cached is None:
            return False
        folder = cached.parent
    config = read_json(folder / "tokenizer_config.json")
    if config is None or not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer.model")):
        return False
    return not config.get("chat_template") and not any(folder.glob("*chat_template*"))


def find_unknown_modules(profile: Profile, config: dict[str, Any] | None) -> UnknownModules | None:
    """Find the modules that `profile` names and the model with this config.json does not have. None if there are none,
    or if the names are not known."""
    if config is None or (names := ModuleNames.from_config(config)) is None:
        return None
    try:
        check_module_names(profile, names)
    except UnknownModules as unknown:
        return unknown
    return None
