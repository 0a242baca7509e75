"""Finds the config.json of a profile's model on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.contract import files
from training.contract.model_path import find_model_folder
from training.contract.profile import Profile
from training.memory.model_shape import shipped_configs
from training.memory.module_names import ModuleNames, UnknownModules, check_module_names


def find_config(name: str, revision: str | None, path: Path) -> dict[str, Any] | None:
    """Return the config.json of the model `name` in the profile at `path`: shipped with the app, in a local folder, or
    in the Hub's cache. None if there is none that can be read."""
    if (shipped := shipped_configs().get(name)) is not None:
        return shipped
    if folder := find_model_folder(name, path.parent):
        return _read_json(folder / "config.json")
    cached = _find_cached(name, "config.json", revision)
    return _read_json(cached) if cached else None


def lacks_chat_template(profile: Profile, path: Path) -> bool:
    """Whether the tokenizer of the model in `profile`, loaded from the file at `path`, is on this machine and has no
    chat template, and the profile gives it none."""
    model = profile.model
    if model.chat_template:
        return False
    if not (folder := find_model_folder(model.name, path.parent)):
        cached = _find_cached(model.name, "tokenizer_config.json", model.revision)
        if cached is None:
            return False
        folder = cached.parent
    config = _read_json(folder / "tokenizer_config.json")
    if config is None or not any((folder / file).is_file() for file in ("tokenizer.json", "tokenizer.model")):
        return False
    return not config.get("chat_template") and not any(folder.glob("*chat_template*"))


def _find_cached(name: str, file: str, revision: str | None) -> Path | None:
    """Find a file of the model `name` in the Hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(name, file, revision=revision)
    except ValueError:  # the Hub can have no such name
        return None
    return Path(cached) if isinstance(cached, str) else None


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        config = json.loads(files.read(path))
    except (OSError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None


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
