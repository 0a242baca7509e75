"""Reads a dataset: one JSON object a line, in one of two shapes.

    {"instruction": "...", "response": "..."}     also prompt, question; output, completion, answer;
                                                  optional: input or context, and system
    {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}

What can't be learned from becomes a `RowProblem` with its line; the caller decides whether to refuse or to skip. A
byte-order mark, CRLF line ends and blank lines are fine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEMO_DATASET = "demo:zombie-waves"

INSTRUCTION = ("instruction", "prompt", "question")
RESPONSE = ("response", "output", "completion", "answer")
CONTEXT = ("input", "context")
ROLES = ("system", "user", "assistant")

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be learned from. `messages` ends with the assistant's answer; `line` counts from 1."""

    line: int
    raw: dict[str, Any]
    messages: list[Message]


@dataclass(frozen=True, slots=True)
class RowProblem:
    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


@dataclass
class DatasetFile:
    """All rows of a file, in its order. `columns` are the keys seen, in the order they came up."""

    rows: list[Row] = field(default_factory=list)
    problems: list[RowProblem] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)


class _BadRow(ValueError):
    pass


def dataset_path(name: str) -> Path:
    """The file that `name` means: the shipped sample for "demo:zombie-waves", else a path."""
    if name == DEMO_DATASET:
        return Path(__file__).resolve().parent.parent / "demo" / "zombie_waves.jsonl"
    return Path(name).expanduser()


def read_rows(path: Path | str) -> DatasetFile:
    """Every row of the file at `path` and every problem. Raises OSError where it can't be read."""
    found = DatasetFile()
    columns: dict[str, None] = {}
    for number, text in _lines(Path(path)):
        try:
            raw = _parse(text)
            columns.update(dict.fromkeys(raw))
            found.rows.append(Row(number, raw, _messages(raw)))
        except _BadRow as problem:
            found.problems.append(RowProblem(number, str(problem)))
    found.columns = list(columns)
    return found


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(b"\xef\xbb\xbf").strip() if number == 1 else line.strip()
            if text:
                yield number, text


def _parse(line: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
        if b"\\ud" in line.lower():  # an escape may stand for half a character, which no tokenizer takes
            json.dumps(raw, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise _BadRow(f"not UTF-8 text (byte {error.start + 1} of the line)") from None
    except UnicodeEncodeError:
        raise _BadRow("has half of a surrogate pair (\\ud800 to \\udfff), which is no character") from None
    except RecursionError:
        raise _BadRow("nested too deeply") from None
    except json.JSONDecodeError as error:
        if line.startswith(b"["):
            raise _BadRow("a JSON array over several lines; JSONL has one object a line") from None
        raise _BadRow(f"not valid JSON: {error.msg} (column {error.colno})") from None
    except ValueError as error:  # NaN, or a number of thousands of digits
        raise _BadRow(f"not valid JSON: {error}") from None
    if not isinstance(raw, dict):
        raise _BadRow(f"expected a JSON object, found {_kind(raw)}")
    return raw


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _messages(raw: dict[str, Any]) -> list[Message]:
    if "messages" in raw:
        return _conversation(raw["messages"])
    question = _first(raw, INSTRUCTION, "instruction")
    answer = _first(raw, RESPONSE, "response")
    context = _optional(raw, CONTEXT)
    system = _optional(raw, ("system",))
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": f"{question}\n\n{context}" if context else question})
    messages.append({"role": "assistant", "content": answer})
    return messages


def _conversation(value: Any) -> list[Message]:
    if not isinstance(value, list):
        raise _BadRow(f'"messages" must be a list, found {_kind(value)}')
    messages: list[Message] = []
    for position, item in enumerate(value, 1):
        where = f"message {position}"
        if not isinstance(item, dict):
            raise _BadRow(f"{where} must be an object with role and content, found {_kind(item)}")
        role = item.get("role")
        if role not in ROLES:
            raise _BadRow(f'{where}: "role" must be system, user or assistant')
        messages.append({"role": role, "content": _text(item.get("content"), f'{where}: "content"')})
    last = max((i for i, message in enumerate(messages) if message["role"] == "assistant"), default=None)
    if last is None:
        raise _BadRow("no assistant message to learn from")
    messages = messages[: last + 1]  # a question without an answer teaches nothing
    if not messages[-1]["content"].strip():
        raise _BadRow("the last assistant message is empty")
    if not any(message["role"] == "user" for message in messages):
        raise _BadRow("no user message before the answer")
    return messages


def _first(raw: dict[str, Any], names: tuple[str, ...], field_name: str) -> str:
    for name in names:
        if name in raw:
            text = _text(raw[name], f'"{name}"')
            if not text.strip():
                raise _BadRow(f'"{name}" is empty')
            return text
    raise _BadRow(f'"{field_name}" is missing (also looked for {", ".join(names[1:])})')


def _optional(raw: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if raw.get(name) is not None:
            return _text(raw[name], f'"{name}"').strip()
    return ""


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _BadRow(f"{where} must be text, found {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing (null)"}
    return names.get(type(value), "a number")
