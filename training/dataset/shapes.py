"""Reads the question and the answer of a row, in any of the usual shapes.

    instruction        {"instruction": "...", "response": "..."}   also question, query, prompt; output, completion,
                       answer; optional: input or context, and system
    prompt_completion  {"prompt": "...", "completion": "..."}      texts, or lists of messages
    messages           {"messages": [{"role": "user", "content": "..."}, ...]}
    conversations      {"conversations": [{"from": "human", "value": "..."}, ...]}     ShareGPT
    text               {"text": "..."}                             learned whole, without a chat template

A profile's dataset.*_column fields name other columns.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

from training.contract.tables import Dataset
from training.dataset.records import BadRow, Record, describe_type

Shape = Literal["instruction", "prompt_completion", "messages", "conversations", "text"]
Message = dict[str, str]

INSTRUCTION = ("instruction", "question", "query", "prompt")
RESPONSE = ("response", "output", "completion", "answer")
CONTEXT = ("input", "context")
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
SHAREGPT = {"system": "system", "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant",
            "assistant": "assistant", "model": "assistant", "bot": "assistant"}  # fmt: skip
TOOLS = {"tool", "function", "function_call", "observation", "tool_call", "tool_response"}


@dataclass(frozen=True)
class Columns:
    """The columns that the profile names. None means the usual names."""

    instruction: str | None = None
    response: str | None = None
    context: str | None = None
    system: str | None = None
    messages: str | None = None
    text: str | None = None

    @classmethod
    def from_dataset(cls, dataset: Dataset) -> Columns:
        return cls(**{name: getattr(dataset, f"{name}_column") for name in cls.__dataclass_fields__})

    def key(self) -> dict[str, str]:
        """Return the columns that are set, for cache keys."""
        return {name: column for name, column in asdict(self).items() if column is not None}


USUAL = Columns()


@dataclass(frozen=True, slots=True)
class Row:
    """A row that the model can learn from. `messages` ends with the assistant's answer. A row of plain text has `text`
    instead, and all of it is learned. `used` are the columns that were read."""

    file: int
    line: int
    raw: dict[str, Any]
    shape: Shape
    used: tuple[str, ...]
    messages: list[Message]
    text: str | None = None


@dataclass(frozen=True)
class Reading:
    """How a dataset was read: the shape of most rows, the columns that were read, and those that were ignored."""

    shape: Shape | None = None
    used: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


class Tally:
    """Collects a Reading, row by row."""

    def __init__(self) -> None:
        self._shapes: Counter[Shape] = Counter()
        self._used: dict[str, None] = {}
        self._seen: dict[str, None] = {}

    def add(self, row: Row) -> None:
        self._shapes[row.shape] += 1
        self._used.update(dict.fromkeys(row.used))
        self._seen.update(dict.fromkeys(row.raw))

    def add_bad(self, record: Record) -> None:
        self._seen.update(dict.fromkeys(record.raw or ()))

    @property
    def reading(self) -> Reading:
        shape = self._shapes.most_common(1)[0][0] if self._shapes else None
        return Reading(shape, tuple(self._used), tuple(name for name in self._seen if name not in self._used))


def row_of(record: Record, columns: Columns = USUAL) -> Row:
    """Read the question and the answer of `record`. Raises BadRow if the model can't learn from it."""
    raw = record.raw
    if raw is None:
        raise BadRow(record.problem)
    shape, used, messages, text = _parse(raw, columns)
    return Row(record.file, record.line, raw, shape, used, messages, text)


def _parse(raw: dict[str, Any], columns: Columns) -> tuple[Shape, tuple[str, ...], list[Message], str | None]:
    chat = columns.messages or next((name for name in ("messages", "conversations") if name in raw), None)
    if columns.text or columns.instruction or columns.response:
        chat = columns.messages
    if chat:
        return _parse_chat(raw, chat, columns)
    if columns.text or (_has_no_pair(raw, columns) and "text" in raw):
        name = columns.text or "text"
        return "text", (name,), [], _required_text(raw, name)
    return _parse_pair(raw, columns)


def _has_no_pair(raw: dict[str, Any], columns: Columns) -> bool:
    named = columns.instruction or columns.response
    return not named and not any(name in raw for name in (*INSTRUCTION, *RESPONSE))


def _parse_pair(raw: dict[str, Any], columns: Columns) -> tuple[Shape, tuple[str, ...], list[Message], None]:
    question = _choose_column(raw, columns.instruction, INSTRUCTION)
    answer = _choose_column(raw, columns.response, RESPONSE)
    context = _choose_column(raw, columns.context, CONTEXT)
    if question is None and columns.instruction is None and context == "input":
        question, context = context, None  # {"input": ..., "output": ...}
    for column, name, others in ((question, columns.instruction or "instruction", INSTRUCTION),
                                 (answer, columns.response or "response", RESPONSE)):  # fmt: skip
        if column is None:
            also = f" (also looked for {', '.join(others[others[0] == name :])})" if name == others[0] else ""
            raise BadRow(f'"{name}" is missing{also}')
    assert question is not None
    assert answer is not None
    system = _choose_column(raw, columns.system, ("system",))
    used = tuple(name for name in (system, question, context, answer) if name is not None)
    shape: Shape = "prompt_completion" if (question, answer) == ("prompt", "completion") else "instruction"
    if isinstance(raw[question], list) and isinstance(raw[answer], list):
        return shape, used, _check_messages(_parse_messages(raw[question]) + _parse_messages(raw[answer])), None
    user, more = _required_text(raw, question), _optional_text(raw, context)
    system_prompt = _optional_text(raw, system)
    messages = [{"role": "system", "content": system_prompt}] if system_prompt else []
    messages.append({"role": "user", "content": f"{user}\n\n{more}" if more else user})
    messages.append({"role": "assistant", "content": _required_text(raw, answer)})
    return shape, used, messages, None


def _parse_chat(raw: dict[str, Any], name: str, columns: Columns) -> tuple[Shape, tuple[str, ...], list[Message], None]:
    if name not in raw:
        raise BadRow(f'"{name}" is missing')
    messages = _parse_messages(raw[name], name)
    sharegpt = "from" in raw[name][0] if raw[name] else False
    used: tuple[str, ...] = (name,)
    system = _choose_column(raw, columns.system, ("system",))
    if system and (prompt := _optional_text(raw, system)) and messages[:1] and messages[0]["role"] != "system":
        messages, used = [{"role": "system", "content": prompt}, *messages], (system, name)
    return "conversations" if sharegpt else "messages", used, _check_messages(messages), None


def _parse_messages(value: Any, name: str = "messages") -> list[Message]:
    if not isinstance(value, list):
        raise BadRow(f'"{name}" must be a list, found {describe_type(value)}')
    messages: list[Message] = []
    for position, item in enumerate(value, 1):
        where = f"message {position}"
        if not isinstance(item, dict):
            raise BadRow(f"{where} must be an object with role and content, found {describe_type(item)}")
        role_key, text_key, roles = ("from", "value", SHAREGPT) if "from" in item else ("role", "content", ROLES)
        role = item.get(role_key)
        if (isinstance(role, str) and role in TOOLS) or item.get("tool_calls"):
            raise BadRow(f"{where}: tool calls and their results are not supported")
        if not isinstance(role, str) or role not in roles:
            known = ", ".join(dict.fromkeys(roles.values())) if role_key == "role" else "system, human or gpt"
            raise BadRow(f'{where}: "{role_key}" must be {known.replace("user, assistant", "user or assistant")}')
        messages.append({"role": roles[role], "content": _parse_content(item.get(text_key), f'{where}: "{text_key}"')})
    return messages


def _parse_content(value: Any, where: str) -> str:
    """Read a message's content: text, or a list of parts that are all text."""
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        if any(part.get("type") != "text" for part in value):
            raise BadRow(f"{where} has parts other than text, which are not supported")
        return "".join(_check_text(part.get("text"), where) for part in value)
    return _check_text(value, where)


def _check_messages(messages: list[Message]) -> list[Message]:
    last = max((i for i, message in enumerate(messages) if message["role"] == "assistant"), default=None)
    if last is None:
        raise BadRow("no assistant message to learn from")
    messages = messages[: last + 1]  # the model can't learn from a question without an answer
    if not messages[-1]["content"].strip():
        raise BadRow("the last assistant message is empty")
    if not any(message["role"] == "user" for message in messages):
        raise BadRow("no user message before the answer")
    return messages


def _choose_column(raw: dict[str, Any], named: str | None, usual: tuple[str, ...]) -> str | None:
    """Choose the column to read; None if the row has none."""
    return next((name for name in ((named,) if named else usual) if name in raw), None)


def _required_text(raw: dict[str, Any], name: str) -> str:
    if name not in raw:
        raise BadRow(f'"{name}" is missing')
    text = _check_text(raw[name], f'"{name}"')
    if not text.strip():
        raise BadRow(f'"{name}" is empty')
    return text


def _optional_text(raw: dict[str, Any], name: str | None) -> str:
    return "" if name is None or raw[name] is None else _check_text(raw[name], f'"{name}"').strip()


def _check_text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise BadRow(f"{where} must be text, found {describe_type(value)}")
    return value
