"""Finds the config.json of a model on this machine, without torch's libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.contract import files
from training.contract.model_path import find_model_folder
from training.memory.model_shape import shipped_configs


def find_config(name: str, revision: str | None, folder: Path) -> dict[str, Any] | None:
    """Return the config.json of the model `name`: shipped with the app, in a local folder, or in the Hub's cache. A
    relative name begins at `folder`. None if there is no config.json that can be read."""
    if (shipped := shipped_configs().get(name)) is not None:
        return shipped
    if found := find_model_folder(name, folder):
        return read_json(found / "config.json")
    cached = find_cached(name, "config.json", revision)
    return read_json(cached) if cached else None


def find_cached(name: str, file: str, revision: str | None) -> Path | None:
    """Find a file of the model `name` in the Hub's cache."""
    from huggingface_hub import try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(name, file, revision=revision)
    except ValueError:  # the Hub can have no such name
        return None
    return Path(cached) if isinstance(cached, str) else None


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object. None if there is none that can be read."""
    try:
        config = json.loads(files.read(path))
    except (OSError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) else None
