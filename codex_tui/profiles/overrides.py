"""Parses `--set TABLE.FIELD=VALUE`, which sets fields of a profile for one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from codex_tui.base.errors import BadInput
from codex_tui.base.toml import TomlError, parse_value
from codex_tui.profiles.comments import format_example
from codex_tui.profiles.problems import explain_unknown_field, find_table, validate_field
from codex_tui.profiles.resolve import make_paths_absolute
from codex_tui.profiles.schema import FieldSchema, read_schema

HINT = "Write it as in a profile: --set lora.r=8, --set model.dtype=float16. The fields: codex-tui profile explain"


def parse_overrides(options: list[str]) -> dict[str, Any]:
    """Return the value of each field that `--set` names, by dotted path. The last option for a field counts.

    A value is TOML; a bare word is text. Paths are relative to the current folder. Raises BadInput, with the option, if
    an option can't be parsed, names no field, or has a value that is not valid for the field.
    """
    values: dict[str, Any] = {}
    for option in options:
        field, equals, given = option.partition("=")
        values |= parse_override(field.strip(), given.strip() if equals else None, "--set", HINT)
    return values


PLACES = ("local", "slurm")
"""The engines that `--on` names. Any other name is that of a remote, which the engine ssh needs."""


def parse_place(name: str) -> dict[str, Any]:
    """Return the values for which `--on PLACE` is short: "local", "slurm", or the name of a remote. Raises BadInput."""
    if name in PLACES:
        return {"launch.engine": name}
    try:
        return {"launch.engine": "ssh", "launch.ssh.remote": validate_field("launch.ssh.remote", name)}
    except ValueError as error:
        hint = "Name local, slurm, or a machine that this lists: codex-tui remote list"
        raise BadInput(f"--on: {error}.", hint) from None


def parse_override(field: str, given: str | None, option: str, hint: str) -> dict[str, Any]:
    """Return the value that `option` gives to one field, with the path of the field as the key. `given` is None where
    the option has no equals sign. Raises BadInput."""
    try:
        value = {field: _parse_value(field, given)}
    except ValueError as error:
        reason = str(error)
        raise BadInput(f"{option} {field}: {reason}{'' if reason.endswith('?') else '.'}", hint) from None
    return value | make_paths_absolute(value, Path.cwd())


def _parse_value(field: str, given: str | None) -> Any:
    table, _, name = field.rpartition(".")
    if given is None:
        raise ValueError("has no value; should be TABLE.FIELD=VALUE")
    if find_table(field.split(".")):
        first = next(schema for schema in read_schema().values() if schema.table == field)
        raise ValueError(
            f"is a table; set one of its fields, such as {field}.{format_example(first).replace(' = ', '=', 1)}"
        )
    if field not in read_schema():
        raise ValueError(explain_unknown_field(table, name))
    if not table:
        raise ValueError("belongs to the file itself; only a field of a table can be set for a run")
    return validate_field(field, _interpret(read_schema()[field], given))


def _interpret(schema: FieldSchema, text: str) -> Any:
    try:
        value = parse_value(text)
    except TomlError:
        return text
    is_name = schema.kinds == ("string",) and not isinstance(value, str)  # a name such as 2024 needs no quotes
    return text if is_name else value
