"""Reads one profile file by itself: the fields it sets, their lines, and all its problems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codex_tui.base.secrets import NO_SECRETS, is_secret
from codex_tui.base.toml import MAX_BYTES, TomlError, parse_toml
from codex_tui.base.toml_positions import find_lines
from codex_tui.profiles.problems import ProfileError, ProfileProblem, explain_unknown_field, find_table, validate_field
from codex_tui.profiles.schema import read_schema
from training.contract import files
from training.contract.secrets import has_secret

MAX_FIELDS = 500  # of one file; there are about a hundred fields, and each unknown one costs a search for similar names

FieldPath = tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """The content of one file. `sets` names all known fields that the file sets, `values` has the valid ones, `lines`
    the line number of each field."""

    path: Path
    sets: frozenset[str]
    values: dict[str, Any]
    lines: dict[str, int]
    text: str = ""


def read_text(path: Path) -> str:
    """Read the text of a profile file. Raises ProfileError if it can't be read."""
    try:
        data = files.read(path, MAX_BYTES)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ProfileError(path, [ProfileProblem("", line, "not UTF-8 text; save the file as UTF-8")]) from None
    except OSError as error:
        raise ProfileError(path, [ProfileProblem("", None, f"can't be read: {error.strerror}")]) from None


def read_layer(text: str, path: Path) -> tuple[Layer, list[ProfileProblem]]:
    """Return the fields that `text` sets, and its problems in no order. Never raises."""
    text = text.removeprefix("\ufeff")
    table, problems = _parse(text)
    lines = {} if problems else find_lines(text)
    secrets = set(_find_secrets(table))
    problems += [ProfileProblem(".".join(field), _find_line(field, lines), NO_SECRETS) for field in secrets]
    lines_with_secret = {problem.line for problem in problems}
    for number, line in enumerate(text.split("\n"), 1):
        if (
            has_secret(line) and number not in lines_with_secret
        ):  # in a comment too, since a run keeps a copy of the file
            problems.append(ProfileProblem("", number, NO_SECRETS))
    sets, values = set(), {}
    for field, value in _iterate_fields(table):
        dotted = ".".join(field)
        known = dotted in read_schema() and dotted.split(".") == list(field)  # "lora.r" in quotes is another key
        if known:
            sets.add(dotted)
        if any(secret[: len(field)] == field for secret in secrets):
            continue
        try:
            if not known:
                raise ValueError(_explain_unknown(field))
            values[dotted] = validate_field(dotted, value)
        except ValueError as error:
            problems.append(ProfileProblem(dotted, _find_line(field, lines), str(error)))
    return Layer(path, frozenset(sets), values, lines, text), problems


def _parse(text: str) -> tuple[dict[str, Any], list[ProfileProblem]]:
    try:
        table = parse_toml(text)
    except TomlError as error:
        return {}, [ProfileProblem("", error.line, error.message)]
    if (count := sum(1 for _ in _iterate_fields(table))) > MAX_FIELDS:
        message = f"sets {count:,} fields, more than the {MAX_FIELDS} that a profile can have"
        return {}, [ProfileProblem("", None, message)]
    return table, []


def _iterate_fields(table: dict[str, Any], path: FieldPath = ()) -> Iterator[tuple[FieldPath, Any]]:
    """Yield each field of the tables of a profile, and every other key in them."""
    for name, value in table.items():
        if isinstance(value, dict) and find_table((*path, name)):
            yield from _iterate_fields(value, (*path, name))
        else:
            yield (*path, name), value


def _explain_unknown(field: FieldPath) -> str:
    if find_table(field):
        return f"should be a table: write [{'.'.join(field)}] on a line of its own, and its fields below it"
    return explain_unknown_field(".".join(field[:-1]), field[-1])


def _find_secrets(table: dict[str, Any]) -> Iterator[FieldPath]:
    """Find secrets at any depth. There is no recursion, since dotted keys may be nested without limit."""
    todo: list[tuple[FieldPath, Any]] = [((), table)]
    while todo:
        field, value = todo.pop()
        if isinstance(value, dict):
            todo += [((*field, name) if len(field) < 8 else field, inner) for name, inner in value.items()]
        elif isinstance(value, list):
            todo += [(field, inner) for inner in value]
        elif is_secret(field[-1], value):
            yield field


def _find_line(field: FieldPath, lines: dict[str, int]) -> int | None:
    parents = (".".join(field[:length]) for length in range(len(field), 0, -1))
    return next((lines[parent] for parent in parents if parent in lines), None)
