"""Reads a question book: JSONL, one question a line, and reports everything that is wrong with it at once.

id          a name of the question (default: its line)
question    what the model is asked; or `messages`, a conversation that ends with the user's message
must        what the answer has to contain: a text, {"any": ["one", "or another"]}, {"re": "a regular expression"},
            or a list of these, of which each must be there
must_not    what the answer must not contain, in the same form
reference   the right answer
tags        subjects, such as ["stage bosses"]
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from training.contract import files
from training.contract.judgement import Condition, Question
from training.dataset.formats import BYTE_ORDER_MARK
from training.dataset.marks import find_failed, fold, mark_all
from training.dataset.records import BadRow, describe_type, parse_line

DEMO_BOOK_FILE = Path(__file__).resolve().parents[1] / "demo" / "zombie_waves_book.jsonl"
FIELDS = ("id", "question", "messages", "must", "must_not", "reference", "tags")
ROLES = ("system", "user", "assistant")

MAX_BYTES = 8 * 2**20
MAX_QUESTIONS = 2_000
MAX_TEXT, MAX_NAME, MAX_PATTERN, MAX_CONDITIONS, MAX_TAGS = 50_000, 100, 1_000, 50, 10


@dataclass(frozen=True)
class BookFault:
    """What is wrong in `field` on `line`. A `field` of "" is the whole line, a `line` of 0 the whole file."""

    line: int
    field: str
    message: str

    def __str__(self) -> str:
        places = [f"line {self.line}"] * bool(self.line) + [self.field] * bool(self.field)
        return ": ".join(filter(None, (", ".join(places), self.message)))


class BookDamaged(Exception):
    """A book that can't be used. `faults` has everything that is wrong with it, at least one."""

    def __init__(self, path: Path, faults: list[BookFault]) -> None:
        self.path, self.faults = path, faults
        super().__init__(f"{path}: {faults[0]}")


@dataclass(frozen=True)
class QuestionBook:
    """`content` are the bytes of the file at `path`, and `sha256` is their checksum."""

    path: Path
    content: bytes
    questions: list[Question]

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def read_book(path: Path) -> QuestionBook:
    """Read the book at `path`. Raises BookDamaged."""
    try:
        data = files.read(path, MAX_BYTES)
    except OSError as error:
        raise BookDamaged(path, [BookFault(0, "", f"can't be read: {error.strerror}")]) from None
    reader = _Reader()
    for number, line in enumerate(data.removeprefix(BYTE_ORDER_MARK).split(b"\n"), 1):
        if line.strip():
            reader.read(number, line.strip())
    reader.check_references()
    if not reader.lines:
        reader.faults.append(BookFault(0, "", "has no questions"))
    elif reader.lines > MAX_QUESTIONS:
        reader.faults.append(BookFault(0, "", f"has {reader.lines:,} questions; a book has {MAX_QUESTIONS:,} at most"))
    if reader.faults:
        raise BookDamaged(path, sorted(reader.faults, key=lambda fault: fault.line))
    return QuestionBook(path, data, reader.questions)


class _Reader:
    def __init__(self) -> None:
        self.lines = 0
        self.questions: list[Question] = []
        self.faults: list[BookFault] = []
        self._ids: dict[str, int] = {}
        self._sound: list[Question] = []

    def read(self, line: int, text: bytes) -> None:
        self.lines += 1
        try:
            raw = parse_line(text)
        except BadRow as problem:
            self.faults.append(BookFault(line, "", str(problem)))
            return
        faults = list(_list_unknown(raw))
        question = _Fields(line, raw, faults).parse()
        if question.id in self._ids:
            faults.append(("id", f'"{question.id}" is also the id of line {self._ids[question.id]}'))
        self._ids.setdefault(question.id, line)
        if not faults:
            self._sound.append(question)
        self.faults += [BookFault(line, field, message) for field, message in faults]
        self.questions.append(question)

    def check_references(self) -> None:
        """Every right answer has to pass its own conditions."""
        pairs = [(question, question.reference) for question in self._sound if question.reference]
        passed, slow = mark_all(pairs)
        for (question, reference), passes in zip(pairs, passed, strict=True):
            if question.id in slow:
                self.faults.append(BookFault(question.line, "must", "a regular expression needs more than a second"))
            elif passes is False:
                failed = ", ".join(find_failed(question, reference))
                self.faults.append(BookFault(question.line, "reference", f"the right answer itself fails {failed}"))


def _list_unknown(raw: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in (name for name in raw if name not in FIELDS):
        close = difflib.get_close_matches(name, FIELDS, 1)
        yield name, f"unknown field; did you mean {close[0]}?" if close else f"unknown field; use {', '.join(FIELDS)}"


class _Fields:
    """Parses the fields of one line. What is wrong goes to `faults`, as pairs of a field and a message."""

    def __init__(self, line: int, raw: dict[str, Any], faults: list[tuple[str, str]]) -> None:
        self._line, self._raw, self._faults = line, raw, faults

    def parse(self) -> Question:
        question = Question(
            id=self._parse_id(),
            messages=self._parse_messages(),
            must=self._parse_conditions("must"),
            must_not=self._parse_conditions("must_not"),
            reference=self._parse_text("reference") if self._raw.get("reference") is not None else "",
            tags=self._parse_tags(),
            line=self._line,
        )
        if all(self._raw.get(name) is None for name in ("must", "must_not", "reference")):
            self._fail("must", "missing: say what the answer must contain, or give a reference")
        return question

    def _fail(self, field: str, message: str) -> None:
        self._faults.append((field, message))

    def _parse_text(self, field: str, limit: int = MAX_TEXT) -> str:
        return self._check_text(field, self._raw.get(field), limit)

    def _check_text(self, field: str, value: Any, limit: int = MAX_TEXT) -> str:
        if not isinstance(value, str):
            self._fail(field, f"must be text, found {describe_type(value)}")
        elif not fold(value):
            self._fail(field, "is empty")
        elif len(value) > limit:
            self._fail(field, f"has {len(value):,} characters; {limit:,} are allowed")
        else:
            return value
        return ""

    def _parse_id(self) -> str:
        value = self._raw.get("id")
        if value is None:
            return f"line {self._line}"
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self._check_text("id", value, MAX_NAME) or f"line {self._line}"

    def _parse_messages(self) -> list[dict[str, Any]]:
        has_question, has_messages = (self._raw.get(name) is not None for name in ("question", "messages"))
        if has_question == has_messages:
            problem = "give question or messages, not both" if has_question else "missing"
            self._fail("question", problem)
            return []
        if has_question:
            return [{"role": "user", "content": self._parse_text("question")}]
        value = self._raw["messages"]
        if not isinstance(value, list) or not value:
            self._fail("messages", "must be a list of messages")
            return []
        messages = [self._parse_message(message, place) for place, message in enumerate(value, 1)]
        if messages[-1]["role"] != "user":
            self._fail("messages", "must end with the user's message, which the model answers")
        return messages

    def _parse_message(self, value: Any, place: int) -> dict[str, Any]:
        field = f"messages {place}"
        if not isinstance(value, dict) or value.get("role") not in ROLES:
            self._fail(field, f"must have a role ({', '.join(ROLES)}) and content")
            return {"role": "user", "content": ""}
        for name in (name for name in value if name not in ("role", "content")):
            self._fail(field, f"unknown field {name}; use role and content")
        return {"role": value["role"], "content": self._check_text(field, value.get("content"))}

    def _parse_conditions(self, field: str) -> tuple[Condition, ...]:
        value = self._raw.get(field)
        if value is None:
            return ()
        values = value if isinstance(value, list) else [value]
        if not values or len(values) > MAX_CONDITIONS:
            self._fail(field, f"must have 1 to {MAX_CONDITIONS} conditions")
            return ()
        numbered = len(values) > 1
        return tuple(
            self._parse_condition(f"{field} {place}" if numbered else field, item)
            for place, item in enumerate(values, 1)
        )

    def _parse_condition(self, field: str, value: Any) -> Condition:
        if isinstance(value, dict):
            if set(value) == {"any"} and isinstance(value["any"], list) and 0 < len(value["any"]) <= MAX_CONDITIONS:
                return Condition(any=tuple(self._check_text(field, text) for text in value["any"]))
            if set(value) == {"re"}:
                return Condition(re=self._check_pattern(field, value["re"]))
            close = [near[0] for name in value if (near := difflib.get_close_matches(name, ("any", "re"), 1, 0.5))]
            meant = f"; did you mean {close[0]}?" if close and not set(value) & {"any", "re"} else ""
            self._fail(field, f'must be a text, {{"any": ["…", "…"]}} or {{"re": "…"}}{meant}')
            return Condition()
        return Condition(any=(self._check_text(field, value),))

    def _check_pattern(self, field: str, value: Any) -> str:
        pattern = self._check_text(field, value, MAX_PATTERN)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of a set that may mean something else in a later Python
                re.compile(pattern, re.IGNORECASE)
        except (re.error, OverflowError, RecursionError) as error:
            self._fail(field, f"is no regular expression: {error}")
            return ""
        return pattern

    def _parse_tags(self) -> tuple[str, ...]:
        value = self._raw.get("tags")
        if value is None:
            return ()
        values = value if isinstance(value, list) else [value]
        if len(values) > MAX_TAGS:
            self._fail("tags", f"has {len(values)} tags; {MAX_TAGS} are allowed")
        tags = (self._check_text("tags", tag, MAX_NAME).strip() for tag in values[:MAX_TAGS])
        return tuple(dict.fromkeys(filter(None, tags)))


def format_book(questions: list[Question]) -> str:
    """Format a book with `questions`, one a line, for a person to edit."""
    lines = []
    for question in questions:
        is_simple = [turn["role"] for turn in question.messages] == ["user"]
        values: dict[str, Any] = {"id": question.id}
        values |= {"question": question.messages[0]["content"]} if is_simple else {"messages": question.messages}
        for field, conditions in (("must", question.must), ("must_not", question.must_not)):
            if conditions:
                values[field] = [_format_condition(condition) for condition in conditions]
        values |= {"reference": question.reference} if question.reference else {}
        values["tags"] = list(question.tags)
        lines.append(json.dumps(values, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def _format_condition(condition: Condition) -> Any:
    if condition.re:
        return {"re": condition.re}
    return condition.any[0] if len(condition.any) == 1 else {"any": list(condition.any)}
