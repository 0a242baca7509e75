"""Lists the fields of a draft for the editor: the value, its origin, and its problems."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from codex_tui.base.toml import parse_value
from codex_tui.base.toml_text import CannotEdit
from codex_tui.profiles.draft import Draft
from codex_tui.profiles.literals import parse_input
from codex_tui.profiles.problems import ProfileProblem, validate_field
from codex_tui.profiles.resolve import NOT_INHERITED, Resolved
from codex_tui.profiles.schema import FieldSchema, read_schema


@dataclass(frozen=True)
class Field:
    """One row of the editor. `own`: this file sets the field. `changed`: its value has changed since the last save."""

    schema: FieldSchema
    value: Any
    inherited: Any
    own: bool
    changed: bool
    problems: tuple[str, ...]

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values that ← and → select. The current value is one of them, even if it is a number."""
        known = self.schema.choices
        return known if not known or self.value is None or _among(self.value, known) else (*known, self.value)


def list_fields(draft: Draft, resolved: Resolved | None = None) -> list[Field]:
    """List every field in the schema's order. Give `resolved` to show a text that is not the draft's yet."""
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
    """Find the problems that belong to no known field of this file: unknown names, syntax, its parents."""
    return [problem for problem in resolved.problems if problem.path is not None or problem.field not in read_schema()]


def explain_invalid_input(schema: FieldSchema, text: str) -> str:
    """Explain why `text` is not valid for this field, without regard to other fields; "" if it is valid."""
    value = parse_input(schema, text)
    if value is None:
        return ""
    try:
        validate_field(schema.path, parse_value(value))
    except ValueError as error:
        return str(error)
    return ""


def resolve_input(draft: Draft, field: Field, text: str) -> Resolved:
    """Resolve the draft with the value that `text` means for `field`. The draft stays as it is."""
    value = parse_input(field.schema, text)
    if value is None and not field.own:
        return draft.resolved
    try:
        return draft.resolve(draft.with_value(field.schema.path, value))
    except CannotEdit:
        return draft.resolved


def find_next_choice(field: Field, step: int) -> Any:
    """Return the choice that follows the current value by `step`, which may be negative."""
    choices = field.choices
    at = next((number for number, choice in enumerate(choices) if repr(choice) == repr(field.value)), None)
    return choices[0 if at is None else (at + step) % len(choices)]


def find_differences(resolved: Resolved) -> Iterator[tuple[str, Any, Any]]:
    """Yield each field that this file changes: its path, its value, and its inherited value."""
    for path, value in resolved.values.items():
        if path not in NOT_INHERITED and repr(value) != repr(resolved.inherited[path]):
            yield path, value, resolved.inherited[path]


def _among(value: Any, choices: tuple[Any, ...]) -> bool:
    return any(repr(choice) == repr(value) for choice in choices)
