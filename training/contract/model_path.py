"""Finds out where a model's name points to: a folder of this machine, or a repository of the Hub.

The app and the trainer share this rule. A name that begins with ".", "/" or "~" is a path; no Hub id begins so. A
relative path is relative to the profile that names it, so the app resolves it before the trainer reads it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def is_path(name: str) -> bool:
    return name.startswith((".", "/", "~"))


def is_relative(name: str) -> bool:
    """Return whether `name` is a path that depends on the folder of its profile."""
    return name.startswith(".")


def find_model_folder(name: str, base: Path = Path()) -> Path | None:
    """Return the absolute folder, without links, that `name` points to; a relative path starts in `base`.

    None for a Hub id and for the demo model. The folder need not exist.
    """
    if not is_path(name):
        return None
    folder = base.absolute() / os.path.expanduser(name)  # noqa: PTH111  pathlib raises for an unknown user
    try:
        return Path(os.path.realpath(folder))
    except ValueError:  # no file can have this name
        return folder


def resolve_model_paths(model: Mapping[str, Any], base: Path = Path()) -> dict[str, Any]:
    """Return the table `model` of a profile in the folder `base` for a run's config.json: all paths are absolute."""
    names = ("name", "chat_template")
    return {**model} | {name: resolve_model_name(model[name], base) for name in names if model.get(name)}


def resolve_model_name(name: str, base: Path = Path()) -> str:
    """Return the name for a run's config.json: a path becomes absolute, any other name stays as it is."""
    folder = find_model_folder(name, base)
    return name if folder is None else str(folder)
