"""Reads a profile file. All its errors come at once, each with its field and line."""

from __future__ import annotations

import difflib
import re
import reprlib
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from training.contract.profile import Profile

_given = reprlib.Repr()
_given.maxstring = _given.maxother = _given.maxlong = 60


@dataclass(frozen=True)
class ProfileProblem:
    """One thing wrong with a profile. `field` is dotted, "" where it is the file; `line` counts from 1."""

    field: str
    line: int | None
    message: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.field + ': ' if self.field else ''}{self.message}"


class ProfileError(Exception):
    """A profile that can't be used. `problems` has all of them, in the file's order."""

    def __init__(self, path: Path, problems: list[ProfileProblem]) -> None:
        self.path = path
        self.problems = problems
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))


def load_profile(path: Path) -> Profile:
    """The profile at `path`. Raises ProfileError with everything that is wrong with it."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise ProfileError(path, [ProfileProblem("", line, "not UTF-8 text; save the file as UTF-8")]) from None
    except OSError as error:
        raise ProfileError(path, [ProfileProblem("", None, f"can't be read: {error.strerror}")]) from None
    return parse_profile(text, path)


def parse_profile(text: str, path: Path) -> Profile:
    """Like `load_profile`, for text in hand; `path` only names it in errors."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(path, [_syntax_problem(error, text)]) from None
    except RecursionError:
        raise ProfileError(path, [ProfileProblem("", None, "nested too deeply to be a profile")]) from None
    try:
        return Profile.model_validate(table)
    except ValidationError as error:
        lines = _lines_of_fields(text)
        problems = [_problem(details, lines) for details in error.errors()]
        raise ProfileError(path, sorted(_joined(problems), key=lambda p: (p.line or 0, p.field))) from None


def _joined(problems: list[ProfileProblem]) -> list[ProfileProblem]:
    """One problem a field: each member of a union complains on its own, and all that would do is one sentence."""
    messages: dict[str, list[str]] = {}
    for problem in problems:
        told = messages.setdefault(problem.field, [])
        what = problem.message.partition(" (given: ")[0]
        if what not in told:
            told.append(what)
    last = {problem.field: problem for problem in problems}
    return [
        replace(problem, message=problem.message if len(messages[field]) == 1 else _either(messages[field], problem))
        for field, problem in last.items()
    ]


def _either(messages: list[str], problem: ProfileProblem) -> str:
    given = problem.message.partition(" (given: ")
    return "; or ".join(messages) + "".join(given[1:])


# What tomllib says of the mistakes that people make most, in their own words.
_PLAINLY = {
    r"^Cannot overwrite a value": "a key is set a second time",
    r"^Cannot declare \('(.+)',\) twice": r"the table [\1] is there a second time",
}


def _syntax_problem(error: tomllib.TOMLDecodeError, text: str) -> ProfileProblem:
    message = str(error)
    for said, meant in _PLAINLY.items():
        message = re.sub(said, meant, message)
    found = re.search(r"\(at line (\d+), column \d+\)", message)
    line = int(found[1]) if found else text.count("\n") + 1
    return ProfileProblem("", line, "not valid TOML: " + re.sub(r"\s*\(at .*\)", "", message))


def _problem(details: Any, lines: dict[str, int]) -> ProfileProblem:
    location = [str(part) for part in details["loc"]]
    message = details["msg"].removeprefix("Value error, ")
    # A union reports each of its members (Literal, int, ...) as a further part: keep what the file has.
    while len(location) > 1 and ".".join(location) not in lines and not _is_field(location):
        location.pop()
    field = ".".join(location)
    if details["type"] == "extra_forbidden":
        message = "unknown field" + _suggestion(location)
    elif details["type"] == "missing":
        message = "required, but not there" if len(location) > 1 else f"the table [{field}] is missing"
    else:
        if not field:  # a check across fields starts its message with the field
            field, _, message = message.partition(": ")
        given = details.get("input")
        if isinstance(given, str | int | float | bool):
            message += f" (given: {_given.repr(given)})"
    line = next((lines[key] for key in _ancestors(field) if key in lines), None)
    return ProfileProblem(field, line, message[:1].lower() + message[1:])


def _is_field(location: list[str]) -> bool:
    return _table_at(location[:-1]) is not None and location[-1] in (_table_at(location[:-1]) or {})


def _table_at(location: list[str]) -> dict[str, Any] | None:
    fields: dict[str, Any] = dict(Profile.model_fields)
    for part in location:
        annotation = fields[part].annotation if part in fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return None
        fields = dict(annotation.model_fields)
    return fields


def _suggestion(location: list[str]) -> str:
    known = _table_at(location[:-1]) or {}
    near = difflib.get_close_matches(location[-1], known, n=1)
    if near:
        return f"; did you mean {near[0]}?"
    for table in Profile.model_fields:
        if location[-1] in (_table_at([table]) or {}):
            return f"; it belongs in [{table}]"
    return ""


def _ancestors(field: str) -> list[str]:
    parts = field.split(".")
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)]


def _lines_of_fields(text: str) -> dict[str, int]:
    """Where each `table.key` stands, by a plain scan: tomllib keeps no positions."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([\w.\-\"' ]+?)\s*\]+", line):
            table = header[1].replace('"', "").replace("'", "").replace(" ", "")
            lines.setdefault(table, number)
        elif key := re.match(r"""\s*["']?([\w\-.]+)["']?\s*=""", line):
            lines.setdefault(f"{table}.{key[1]}" if table else key[1], number)
    return lines
