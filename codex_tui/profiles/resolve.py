"""Resolves a profile: the values of its file, the files it extends, and the command line. Reports all problems."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from codex_tui.base import locations
from codex_tui.base.close_match import find_close_match
from codex_tui.profiles.layer import Layer, read_layer, read_text
from codex_tui.profiles.problems import ProfileError, ProfileProblem, quote_value, validate_field
from codex_tui.profiles.schema import read_schema
from training.contract.model_path import is_relative, resolve_model_name
from training.contract.profile import Profile
from training.dataset.source import DEMO_BOOK, DEMO_DATASET, hub_id

# These fields describe one file only: the title of a parent would not fit other values.
NOT_INHERITED = ("extends", "title", "description")

MAX_CHAIN = 8  # files that extend each other
MAX_COMPARED_NAMES = 200  # comparing each wrong name in a folder of profiles with all of its names takes quadratic time

NO_NAME = "required, but not set: name a model, or extend a profile that does"


@dataclass(frozen=True)
class Resolved:
    """The values of a profile. `profile` is None if there are problems. Each of `values` is then valid by itself: an
    inherited value stands in for a wrong one."""

    profile: Profile | None
    problems: list[ProfileProblem]
    values: dict[str, Any]  # every field by its dotted path: with inheritance, defaults and overrides
    own: frozenset[str]  # the fields that this file itself sets
    inherited: dict[str, Any]  # the value of each field if this file did not set it
    parents: dict[Path, str]  # the text of each readable parent file, the nearest one first

    @property
    def parent(self) -> Path | None:
        """The file that this one extends."""
        return next(iter(self.parents), None)


def load_profile(path: Path, overrides: Mapping[str, Any] = {}) -> Profile:
    """Load the profile at `path` with the files it extends. `overrides` (dotted path to value) replace its values.

    Raises ProfileError with all problems.
    """
    resolved = resolve(read_text(path), path, overrides)
    if resolved.profile is None:
        raise ProfileError(path, resolved.problems)
    return resolved.profile


def resolve(text: str, path: Path, overrides: Mapping[str, Any] = {}) -> Resolved:
    """Resolve the profile `text`. `path` is its file, which need not exist. Problems are returned, never raised.

    A child's values replace its parent's field by field, a list as a whole. `extends`, title and description are each
    file's own. A relative path that a parent sets is relative to that parent.
    """
    files, problems, whole = _read_chain(text, path)
    valid, complaints = _validate(overrides)
    problems += complaints
    layers = [Layer(path, frozenset(overrides), valid, {}), *files] if overrides else files
    if whole:
        named = any("model.name" in layer.sets for layer in layers)
        if not named and not any(problem.field == "model" for problem in problems):
            problems.append(ProfileProblem("model.name", files[0].lines.get("model"), NO_NAME))
        problems += _find_conflicts(layers, path)
    problems.sort(key=lambda problem: (problem.path is not None, str(problem.path), problem.line or 0))
    values = _merge(layers)
    return Resolved(
        profile=None if problems else Profile.model_validate(_nest(values)),
        problems=problems,
        values=values,
        own=files[0].sets,
        inherited=_merge([Layer(path, frozenset(), {}, {}), *files[1:]]),
        parents={layer.path: layer.text for layer in files[1:]},
    )


def _read_chain(text: str, path: Path) -> tuple[list[Layer], list[ProfileProblem], bool]:
    """Read the file and all files that it extends. Returns them, their problems, and whether all could be read."""
    layers: list[Layer] = []
    problems: list[ProfileProblem] = []
    file = path
    while True:
        layer, layer_problems = read_layer(text, file)
        extends = layer.values.get("extends")
        source = file if layers else None
        if layers:
            layer, path_problems = _select_inherited(layer)
            layer_problems += path_problems
        problems += [replace(problem, path=source) for problem in layer_problems]
        layers.append(layer)
        if extends is None:
            broken = "extends" in layer.sets or any(not problem.field for problem in layer_problems)
            return layers, problems, not broken
        try:
            file = find_parent(extends, layer.path)
            if os.path.realpath(file) in {os.path.realpath(each.path) for each in layers}:
                circle = " → ".join([*(each.path.name for each in layers), file.name])
                raise ValueError(f"goes in a circle, {circle}: one of them has to stand on its own")
            if len(layers) == MAX_CHAIN:
                raise ValueError(_describe_long_chain(layers))
            text = read_text(file)
        except ProfileError as error:
            return layers, problems + [replace(problem, path=file) for problem in error.problems], False
        except ValueError as error:
            problems.append(ProfileProblem("extends", layer.lines.get("extends"), str(error), source))
            return layers, problems, False


def find_parent(extends: str, child: Path) -> Path:
    """Find the file that `extends` means in the file `child`: the name of a profile, or a path relative to the child.

    Raises ValueError with a plain explanation if there is none.
    """
    if _is_path(extends):
        path = _normalize(extends, child.parent)
        if os.path.isfile(path):  # noqa: PTH113  pathlib raises for an impossible name
            return path
        raise ValueError(f"there is no file {path}")
    folders = (locations.user_profiles(), locations.shipped_profiles())
    for folder in folders:
        path = folder / f"{extends}.toml"
        # A user profile may have the same name as the shipped profile that it extends.
        if os.path.isfile(path) and os.path.realpath(path) != os.path.realpath(child):  # noqa: PTH113
            return path
    if extends == child.stem:
        raise ValueError(f"{quote_value(extends)} is this very profile, and no other one has that name")
    raise ValueError(f"no profile is called {quote_value(extends)}; {_suggest_parent(extends, child, folders)}")


def _suggest_parent(extends: str, child: Path, folders: tuple[Path, ...]) -> str:
    names = [name for folder in folders for name in _list_names(folder, _modified(folder))]
    if len(names) > MAX_COMPARED_NAMES:
        return "codex-tui profile list shows the names"
    others = sorted({*names} - {child.stem})
    close = find_close_match(extends, others)
    return f"did you mean {close}?" if close else f"there are: {', '.join(others)}"


@lru_cache(maxsize=4)
def _list_names(folder: Path, _modified_at: int) -> list[str]:
    return [path.stem for path in folder.glob("*.toml")]


def _modified(folder: Path) -> int:
    return folder.stat().st_mtime_ns if folder.exists() else 0


def _describe_long_chain(layers: list[Layer]) -> str:
    names = " → ".join(layer.path.name for layer in layers)
    return f"leads through more than {MAX_CHAIN} files, {names} → …: extend one that is nearer to the values"


def _is_path(extends: str) -> bool:
    return extends.endswith(".toml") or "/" in extends


def _normalize(extends: str, folder: Path) -> Path:
    return Path(os.path.normpath(folder.absolute() / locations.expand_home(extends)))


def _select_inherited(layer: Layer) -> tuple[Layer, list[ProfileProblem]]:
    """Return the values that a parent passes on, with absolute paths, and the problems of these paths."""
    inherited = {field: value for field, value in layer.values.items() if field not in NOT_INHERITED}
    paths = make_paths_absolute(inherited, layer.path.parent)
    valid, problems = _validate(paths, layer.lines)
    values = {field: value for field, value in inherited.items() if field not in paths}
    return replace(layer, values=values | valid), problems


def make_paths_absolute(values: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the fields of `values` that name a file relative to `folder`, with absolute paths."""
    absolute = {}
    for field in ("model.name", "model.chat_template"):
        if is_relative(name := values.get(field) or ""):
            absolute[field] = resolve_model_name(name, folder)
    rows = values.get("dataset.path") or DEMO_DATASET
    if rows != DEMO_DATASET and hub_id(rows, folder) is None:
        absolute["dataset.path"] = str((folder / locations.expand_home(rows)).resolve())
    if rows := values.get("dataset.eval_path"):
        absolute["dataset.eval_path"] = str((folder / locations.expand_home(rows)).resolve())
    if (book := values.get("evaluation.book")) and book != DEMO_BOOK:
        absolute["evaluation.book"] = str((folder / locations.expand_home(book)).resolve())
    if _is_path(extends := values.get("extends") or ""):
        absolute["extends"] = str(_normalize(extends, folder))
    return absolute


def _validate(values: Mapping[str, Any], lines: Mapping[str, int] = {}) -> tuple[dict[str, Any], list[ProfileProblem]]:
    """Return the values that are valid by themselves, and the problems of the others."""
    valid, problems = {}, []
    for field, value in values.items():
        try:
            valid[field] = validate_field(field, value)
        except ValueError as error:
            problems.append(ProfileProblem(field, lines.get(field), str(error)))
    return valid, problems


def _merge(layers: list[Layer]) -> dict[str, Any]:
    """Return the value of every field: from the first layer that sets it, else the default."""
    values = {field: schema.default for field, schema in read_schema().items()}
    for layer in reversed(layers):
        values |= layer.values
    return values


def _nest(values: dict[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for field, value in values.items():
        *tables, name = field.split(".")
        owner = nested
        for table in tables:
            owner = owner.setdefault(table, {})
        owner[name] = value
    return nested


def _find_conflicts(layers: list[Layer], path: Path) -> list[ProfileProblem]:
    """Find impossible combinations of values. Each is reported for the deepest file that already has it."""
    conflicts = [_check_combinations(_merge(layers[depth:])) for depth in range(len(layers))]
    problems = []
    for field, message in conflicts[0].items():
        depth = 0
        while depth + 1 < len(layers) and conflicts[depth + 1].get(field) == message:
            depth += 1
        layer = layers[depth]
        problems.append(
            ProfileProblem(field, layer.lines.get(field), message, None if layer.path == path else layer.path)
        )
    return problems


def _check_combinations(values: dict[str, Any]) -> dict[str, str]:
    try:
        Profile.model_validate(_nest(values | {"model.name": values["model.name"] or "-"}))
    except ValidationError as error:
        return dict(error.errors()[0]["ctx"]["fields"])
    return {}
