"""Explains the problems of a profile in plain words, each with its field and line."""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from codex_tui.base.close_match import find_close_match
from codex_tui.base.secrets import NO_SECRETS, is_secret, redact
from codex_tui.base.text import shorten
from codex_tui.profiles.schema import FieldSchema, read_schema, read_tables
from training.contract.profile import Profile

MAX_FIELD_LENGTH = 80
MAX_MESSAGE_LENGTH = 300

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 60
quote_value = _short.repr  # shortens a value for a message

_KINDS = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}


@dataclass(frozen=True)
class ProfileProblem:
    """One problem of a profile. `field` is dotted, or "" for the whole file. `line` counts from 1. `path` is the file
    if the problem is in one that the profile extends."""

    field: str
    line: int | None
    message: str
    path: Path | None = None

    def __post_init__(self) -> None:
        # A problem fits in one line and shows no secret.
        object.__setattr__(self, "field", shorten(redact(self.field), MAX_FIELD_LENGTH))
        object.__setattr__(self, "message", shorten(redact(self.message), MAX_MESSAGE_LENGTH))

    def __str__(self) -> str:
        places = [f"in {self.path}"] if self.path else []
        places += [f"line {self.line}"] if self.line else []
        where = ", ".join(places) + ": " if places else ""
        return f"{where}{self.field + ': ' if self.field else ''}{self.message}"


class ProfileError(Exception):
    """A profile that can't be used. `problems` has the problems of the file in its order, then those of its parents."""

    def __init__(self, path: Path, problems: list[ProfileProblem]) -> None:
        self.path = path
        self.problems = problems
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))


def validate_field(field: str, value: Any) -> Any:
    """Return `value` converted to the type of the known `field`. Raises ValueError with a plain explanation."""
    parts = value if isinstance(value, list) else [value]
    if any(is_secret(field, part) for part in parts):
        raise ValueError(NO_SECRETS)
    if (
        isinstance(value, int) and not -(2**63) <= value < 2**63
    ):  # the range of TOML; Python refuses to print some larger numbers
        raise ValueError(f"should be {read_schema()[field].type}; this number is too large")
    for text in (part for part in parts if isinstance(part, str)):
        if "\0" in text:
            raise ValueError("should be text without the character NUL")
        if re.search("[\ud800-\udfff]", text):  # bytes that are not UTF-8, from the command line or a path
            raise ValueError("should be text in UTF-8")
    table, _, name = field.rpartition(".")
    model = find_table(field.split(".")[:-1])
    assert model
    others = {"model": {"name": "-"}} if not table else {"name": "-"} if table == "model" else {}
    try:
        return getattr(model.model_validate({**others, name: value}), name)
    except ValidationError:
        raise ValueError(_explain_invalid(read_schema()[field], value)) from None


def _explain_invalid(schema: FieldSchema, value: Any) -> str:
    kind = _KINDS.get(type(value), "")
    fits = kind in schema.kinds or (kind == "integer" and "number" in schema.kinds)
    if isinstance(value, float) and not math.isfinite(value):
        message = f"should be {schema.type}, and finite"
    elif fits and not (kind == "array" and value):
        message = "should be " + ", ".join([schema.type, *schema.limits])
    else:
        message = f"should be {schema.type}"
        if kind == "string" and "string" not in schema.kinds:
            if re.fullmatch(r"[-+\d._eE]+|[Tt]rue|[Ff]alse", value):
                message += ", not text in quotes"
            elif close := find_close_match(value, [choice for choice in schema.choices if isinstance(choice, str)]):
                message += f"; did you mean {json.dumps(close)}?"
    if isinstance(value, bool):
        return f"{message} (given: {str(value).lower()})"
    return f"{message} (given: {quote_value(value)})" if isinstance(value, str | int | float) else message


def explain_unknown_field(table: str, name: str) -> str:
    """Explain that there is no field `name` in `table`, and suggest a similar field or the right table."""
    if table and name in read_schema():
        return "unknown field; it belongs at the top of the file, above the tables"
    if homes := [schema.table for schema in read_schema().values() if schema.name == name and schema.table]:
        return "unknown field; it belongs in " + " or ".join(f"[{home}]" for home in homes)
    if inner := [path for path in read_tables() if path.rpartition(".")[2] == name]:
        return f"unknown field; did you mean [{inner[0]}]?"
    names = [schema.name for schema in read_schema().values() if schema.table == table]
    names += [inner.rpartition(".")[2] for inner in read_tables() if inner.rpartition(".")[0] == table]
    if close := find_close_match(name, names):
        return f"unknown field; did you mean {close}?"
    close = find_close_match(name, [schema.name for schema in read_schema().values()])
    return f"unknown field; did you mean {describe_location(close)}?" if close else "unknown field"


def describe_location(name: str) -> str:
    """Return `name` with its tables, such as `learning_rate in [training]`."""
    homes = [f"[{schema.table}]" for schema in read_schema().values() if schema.name == name and schema.table]
    return f"{name} in {' or '.join(homes)}" if homes else name


def find_table(path: Sequence[str]) -> type[BaseModel] | None:
    """Find the table with this path of names, such as launch, slurm. The profile itself has the empty path."""
    table: type[BaseModel] = Profile
    for name in path:
        field = table.model_fields.get(name)
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return None
        table = field.annotation
    return table
