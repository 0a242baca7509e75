"""Finds which files of a dataset repository belong to which configuration and split, as the library `datasets` does: by
the list `configs` at the top of its README.md. A repository without the list has one configuration of all its files,
whatever folders they are in; a folder can be named in place of a configuration (`data_dir` of `datasets`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from codex_tui.base.errors import BadInput
from training.dataset.source import find_split

HINT = "Set dataset.config in the profile, or add --set dataset.config=NAME."


def select_configuration(
    repo: str, folder: Path, files: Sequence[Path], config: str | None
) -> dict[Path, str | None] | None:
    """Return the files of the configuration `config` with the split of each. Without `config`, this is the default
    configuration; None if the repository lists none, so that it has all files.

    Raises BadInput if there is no such configuration, or if the repository has several and no default.
    """
    listed = _read_configurations(folder)
    if not listed:
        return None if config is None else _select_folder(repo, folder, files, config)
    names = ", ".join(listed)
    if config is None:
        marked = [name for name, entry in listed.items() if entry.get("default") is True]
        config = next(iter(marked or (["default"] if "default" in listed else listed)), "")
        if len(listed) > 1 and not marked and config != "default":
            raise BadInput(f"{repo} has {len(listed)} configurations: {names}.", HINT)
    elif config not in listed:
        raise BadInput(f"{repo} has no configuration {config}. It has {names}.", HINT)
    entry = listed[config]
    base = folder / str(entry.get("data_dir") or "")
    if not entry.get("data_files"):
        return _find_splits(base, files)
    known = set(files)
    return {
        path: split
        for split, pattern in _list_patterns(entry)
        if _is_inside(base / pattern, folder)
        for path in _match(base, pattern)
        if path in known
    }


def list_folders(folder: Path, files: Iterable[Path]) -> list[str]:
    """List the folders of `files` in the repository's `folder` that are no splits."""
    names = {path.relative_to(folder).parts[0] for path in files if path.parent != folder}
    return sorted(name for name in names if find_split(Path(name) / "_") is None)


def _select_folder(repo: str, folder: Path, files: Sequence[Path], name: str) -> dict[Path, str | None]:
    base = folder / name
    if _is_inside(base, folder) and base.is_dir() and (splits := _find_splits(base, files)):
        return splits
    folders = ", ".join(list_folders(folder, files))
    remedy = f"Set dataset.config to one of its folders: {folders}." if folders else "Remove dataset.config."
    raise BadInput(f"{repo} has no configurations, and no folder {name} with data.", remedy)


def _find_splits(base: Path, files: Sequence[Path]) -> dict[Path, str | None]:
    """Return the files in the folder `base` with the split that their names say."""
    return {path: find_split(path.relative_to(base)) for path in files if path.is_relative_to(base)}


def _read_configurations(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the configurations that name files. {} if the README.md lists none, or can't be read."""
    from huggingface_hub import metadata_load

    card: Any = None
    with suppress(Exception):  # whatever a stranger's file may hold
        card = metadata_load(folder / "README.md")
    configs = card.get("configs") if isinstance(card, dict) else None
    entries = [entry for entry in configs if isinstance(entry, dict)] if isinstance(configs, list) else []
    return {
        str(entry.get("config_name", "default")): entry
        for entry in entries
        if entry.get("data_files") or isinstance(entry.get("data_dir"), str)
    }


def _list_patterns(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """List the splits of a configuration with their patterns. `data_files` is a pattern, a list of them, a list of
    objects with split and path, or an object from split to patterns."""
    patterns: list[tuple[str, str]] = []
    data_files = entry["data_files"]
    parts = list(data_files.items()) if isinstance(data_files, dict) else data_files
    for part in parts if isinstance(parts, list) else [parts]:
        split, paths = part if isinstance(part, tuple) else ("train", part)
        if isinstance(part, dict):
            split, paths = part.get("split", "train"), part.get("path")
        patterns += [
            (str(split), path) for path in (paths if isinstance(paths, list) else [paths]) if isinstance(path, str)
        ]
    return patterns


def _is_inside(path: Path, folder: Path) -> bool:
    return path.is_relative_to(folder) and ".." not in path.parts


def _match(folder: Path, pattern: str) -> list[Path]:
    with suppress(ValueError, NotImplementedError, OSError):
        return sorted(folder.glob(pattern))
    return []
