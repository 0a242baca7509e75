"""Describes each field of a profile: its type, unit, limits, default, and what it costs and gains.

Read from the schema itself, once, so that the editor's help, `codex-tui profile explain`, the JSON Schema and the
comments of the shipped profiles can't differ.
"""

from __future__ import annotations

import functools
import json
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from training.contract.profile import Profile

COMMENT_WIDTH = 118


@dataclass(frozen=True)
class FieldSchema:
    """One field. `choices` are the values that it names ("auto", true, ...), `kinds` the JSON types beside them
    ("integer", "number", "string", "array", "boolean"); `items` is the type of an array's values. `optional` fields
    may be left unset."""

    path: str
    text: str
    unit: str
    default: Any
    required: bool
    optional: bool
    choices: tuple[Any, ...]
    kinds: tuple[str, ...]
    items: str
    limits: tuple[str, ...]

    @property
    def table(self) -> str:
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def type(self) -> str:
        """The type in words: `"auto", "cpu" or a whole number`."""
        values = "whole numbers" if self.items == "integer" else "names"
        names = {"integer": "a whole number", "number": "a number", "string": "text", "array": f"a list of {values}",
                 "boolean": "true or false"}  # fmt: skip
        return _join_alternatives(
            [json.dumps(choice) for choice in self.choices] + [names[kind] for kind in self.kinds]
        )

    @property
    def comment(self) -> list[str]:
        """The comment lines above the field in a shipped profile."""
        return [
            f"# {line}"
            for line in textwrap.wrap(self.text, COMMENT_WIDTH, break_long_words=False, break_on_hyphens=False)
        ]


def _join_alternatives(parts: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


@functools.cache
def read_schema() -> dict[str, FieldSchema]:
    """Return every field by its dotted path, in the schema's order."""
    schema = Profile.model_json_schema()
    return {
        path: _read_field(path, details, bool(table) and name in owner.get("required", ()))
        for table, owner in _iterate_tables(schema, schema)
        for name, details in owner["properties"].items()
        if "$ref" not in details
        for path in [f"{table}.{name}" if table else name]
    }


@functools.cache
def read_tables() -> dict[str, str]:
    """Return the tables of a profile by their dotted paths, in order, each with its description."""
    schema = Profile.model_json_schema()
    return {table: owner["description"] for table, owner in _iterate_tables(schema, schema) if table}


def _iterate_tables(schema: dict[str, Any], owner: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield `owner` and the tables inside it, each with its dotted path. A table follows all fields of its owner."""
    yield path, owner
    for name, details in owner["properties"].items():
        if "$ref" in details:
            inner = schema["$defs"][details["$ref"].rpartition("/")[2]]
            yield from _iterate_tables(schema, inner, f"{path}.{name}" if path else name)


def build_json_schema() -> dict[str, Any]:
    """Build the JSON Schema of a profile file. No field is required, since a parent file may set it."""
    schema = Profile.model_json_schema()
    for table in (schema, *schema["$defs"].values()):
        table.pop("required", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "not empty",
    "minItems": "at least {} of them",
}


def _read_field(path: str, details: dict[str, Any], required: bool) -> FieldSchema:
    choices: list[Any] = []
    kinds: list[str] = []
    limits: list[str] = []
    items = ""
    optional = False
    for part in details.get("anyOf", [details]):
        if "const" in part or "enum" in part:
            choices += part.get("enum", [part.get("const")])
        elif part["type"] == "null":
            optional = True
        else:
            kinds.append(part["type"])
            items = items or part.get("items", {}).get("type", "")
            limits += [words.format(f"{part[key]:,}") if "{}" in words else words
                       for key, words in _LIMITS.items() if key in part]  # fmt: skip
    if "boolean" in kinds:  # true and false are choices too
        kinds.remove("boolean")
        choices += [True, False]
    limits += [details["form"]] if "form" in details else []
    return FieldSchema(
        path=path,
        text=details["description"],
        unit=details.get("unit", ""),
        default=details.get("default"),
        required=required,
        optional=optional,
        choices=tuple(choices),
        kinds=tuple(kinds),
        items=items,
        limits=tuple(limits),
    )
