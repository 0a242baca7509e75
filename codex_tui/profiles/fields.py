"""What the editor shows of each field of a draft: its value, where that comes from, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from codex_tui.profiles.draft import Draft
from codex_tui.profiles.literals import parse_input, parse_literal
from codex_tui.profiles.problems import ProfileProblem, validate_field
from codex_tui.profiles.resolve import NOT_INHERITED, Resolved
from codex_tui.profiles.schema import FieldSchema, read_schema


@dataclass(frozen=True)
class Field:
    """One row. `own`: this file sets it; `changed`: otherwise than when it was saved."""

    schema: FieldSchema
    value: Any
    inherited: Any
    own: bool
    changed: bool
    problems: tuple[str, ...]

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values that ← and → go through; a number that stands there is one of them."""
        known = self.schema.choices
        return known if not known or self.value is None or _among(self.value, known) else (*known, self.value)


def list_fields(draft: Draft, resolved: Resolved | None = None) -> list[Field]:
    """Every field in the schema's order; `resolved` where the text is not yet the draft's."""
    resolved = resolved or draft.resolved
    own, changed = draft.own, draft.changed
    problems: dict[str, list[str]] = {}
    for problem in resolved.problems:
        if problem.path is None:
            problems.setdefault(problem.field, []).append(problem.message)
    return [
        Field(
            schema,
            own.get(path, resolved.values[path]),
            resolved.inherited[path],
            path in own,
            path in changed,
            tuple(problems.get(path, ())),
        )
        for path, schema in read_schema().items()
    ]


def find_other_problems(resolved: Resolved) -> list[ProfileProblem]:
    """Those that belong to no field of this file: unknown names, syntax, what it extends."""
    return [problem for problem in resolved.problems if problem.path is not None or problem.field not in read_schema()]


def explain_invalid_input(schema: FieldSchema, text: str) -> str:
    """What is wrong with `text` by itself, typed into this field; "" where it will do."""
    value = parse_input(schema, text)
    if value is None:
        return ""
    try:
        validate_field(schema.path, parse_literal(value))
    except ValueError as error:
        return str(error)
    return ""


def find_next_choice(field: Field, step: int) -> Any:
    """The choice after, or before, the value that stands there."""
    choices = field.choices
    at = next((number for number, choice in enumerate(choices) if repr(choice) == repr(field.value)), None)
    return choices[0 if at is None else (at + step) % len(choices)]


def find_differences(resolved: Resolved) -> Iterator[tuple[str, Any, Any]]:
    """Each field that is not as it would be without this file: its path, its value here, its value there."""
    for path, value in resolved.values.items():
        if path not in NOT_INHERITED and repr(value) != repr(resolved.inherited[path]):
            yield path, value, resolved.inherited[path]


def _among(value: Any, choices: tuple[Any, ...]) -> bool:
    return any(repr(choice) == repr(value) for choice in choices)
