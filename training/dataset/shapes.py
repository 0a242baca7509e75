"""Reads the question and the answers of a row, in any of the usual shapes.

    instruction        {"instruction": "...", "response": "..."}   also question, query, prompt; output, completion,
                       answer; optional: input or context, system, and history: [["question", "answer"], ...]
    prompt_completion  {"prompt": "...", "completion": "..."}      texts, or lists of messages
    messages           {"messages": [{"role": "user", "content": "..."}, ...], "tools": [...]}
    conversations      {"conversations": [{"from": "human", "value": "..."}, ...]}     ShareGPT
    text               {"text": "..."}                             learned whole, without a chat template

A profile's dataset.*_column fields name other columns. Rows for other kinds of training (preferences, images) are
refused, because their worst answers would be learned as good ones.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Literal

from training.contract.dataset_table import Dataset
from training.dataset.messages import Message, Turn, check_text, is_empty, parse_messages, parse_tools
from training.dataset.records import BadRow, Record

Shape = Literal["instruction", "prompt_completion", "messages", "conversations", "text"]

INSTRUCTION = ("instruction", "question", "query", "prompt")
RESPONSE = ("response", "output", "completion", "answer")
CONTEXT = ("input", "context")
TOOLS = ("tools", "functions")
REJECTED = ("rejected", "rejected_response", "non_preferred_output")  # the answer to avoid, in rows with preferences
MARKS = ("label", "kto_tag")  # false marks an answer to avoid
MEDIA = ("image", "images", "video", "videos", "audio", "audios")


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
    """A row that the model can learn from.

    `answers` are the positions of the messages that are learned; `messages` ends with the last of them. `tools` are the
    functions that the model may call. A row of plain text has `text` instead, and all of it is learned. `used` are the
    columns that were read.
    """

    file: int
    line: int
    raw: dict[str, Any]
    shape: Shape
    used: tuple[str, ...]
    messages: list[Message]
    answers: tuple[int, ...] = ()
    tools: list[dict[str, Any]] | None = None
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


@dataclass(frozen=True, slots=True)
class _Conversation:
    """What was read of a row. `given` counts the turns at the beginning that are never learned."""

    shape: Shape
    used: tuple[str, ...]
    turns: list[Turn]
    given: int = 0
    tools: list[dict[str, Any]] | None = None


def read_row(record: Record, columns: Columns = USUAL, *, refuse_other_kinds: bool = True) -> Row:
    """Read the question and the answers of `record`. Raises BadRow if the model can't learn from it, or if the row is
    for another kind of training and `refuse_other_kinds` is set."""
    raw = record.raw
    if raw is None:
        raise BadRow(record.problem)
    if refuse_other_kinds:
        _refuse_other_kinds(raw, columns)
    chat = columns.messages or next((name for name in ("messages", "conversations") if name in raw), None)
    if columns.text or columns.instruction or columns.response:
        chat = columns.messages
    if not chat and (columns.text or (_has_no_pair(raw, columns) and "text" in raw)):
        name = columns.text or "text"
        return Row(record.file, record.line, raw, "text", (name,), [], text=_required_text(raw, name))
    read = _parse_chat(raw, chat, columns) if chat else _parse_pair(raw, columns)
    if refuse_other_kinds and read.shape != "instruction":
        _refuse_marked(raw)
    answers = _find_answers(read)
    messages = [turn.message for turn in read.turns[: answers[-1] + 1]]
    return Row(record.file, record.line, raw, read.shape, read.used, messages, answers, read.tools)


def _refuse_other_kinds(raw: dict[str, Any], columns: Columns) -> None:
    """Raise BadRow for a row with preferences, or with more than text."""
    if not (columns.response or columns.messages or columns.text):
        for name in REJECTED:
            if raw.get(name):
                good = next((column for column in ("chosen", "preferred_output") if column in raw), None)
                field = "messages_column" if good and isinstance(raw[good], list) else "response_column"
                remedy = f'; to learn the good one, set dataset.{field} = "{good}"' if good else ""
                raise BadRow(f'"{name}" is an answer to avoid (preference data), not one to learn{remedy}')
    for name in MEDIA:
        if raw.get(name) and name not in columns.key().values():
            raise BadRow(f'the row has images or sound ("{name}"), and only text can be trained')


def _refuse_marked(raw: dict[str, Any]) -> None:
    """Raise BadRow if the row marks its answer as one to avoid, as data for KTO does."""
    for name in MARKS:
        if raw.get(name) is False or raw.get(name) in ("false", "False"):
            raise BadRow(f'"{name}" is false: the row marks its answer as one to avoid (KTO)')


def _find_answers(read: _Conversation) -> tuple[int, ...]:
    """Find the turns that are learned: answers to a question that the row does not exclude. Empty ones teach nothing.

    Raises BadRow if there is none.
    """
    turns = read.turns
    if not any(turn.message["role"] == "assistant" for turn in turns[read.given :]):
        raise BadRow("no assistant message to learn from")
    asked = next((i for i, turn in enumerate(turns) if turn.message["role"] == "user"), len(turns))
    allowed = [i for i, turn in enumerate(turns) if turn.learnable and i >= read.given]
    if not allowed:
        raise BadRow("every assistant message has weight 0 or train = false: there is none to learn from")
    if is_empty(turns[allowed[-1]].message):
        raise BadRow("the last assistant message is empty")
    answers = tuple(i for i in allowed if i > asked and not is_empty(turns[i].message))
    if not answers:
        raise BadRow("no user message before the answer")
    return answers


def _has_no_pair(raw: dict[str, Any], columns: Columns) -> bool:
    named = columns.instruction or columns.response
    return not named and not any(name in raw for name in (*INSTRUCTION, *RESPONSE))


def _parse_pair(raw: dict[str, Any], columns: Columns) -> _Conversation:
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
        prompt, completion = parse_messages(raw[question], question), parse_messages(raw[answer], answer)
        tools, tools_used = _find_tools(raw)
        return _Conversation(shape, (*used, *tools_used), prompt + completion, len(prompt), tools)
    more = _optional_text(raw, context)
    user = "" if more and _is_blank(raw[question]) else _required_text(raw, question)
    system_prompt, history = _optional_text(raw, system), _parse_history(raw)
    pairs = [*history, ("\n\n".join(filter(None, (user, more))), _required_text(raw, answer))]
    turns = [Turn({"role": "system", "content": system_prompt})] if system_prompt else []
    for asked, given in pairs:
        turns += [Turn({"role": "user", "content": asked}), Turn({"role": "assistant", "content": given}, True)]
    return _Conversation(shape, (*used, *(("history",) if history else ())), turns)


def _parse_history(raw: dict[str, Any]) -> list[tuple[str, str]]:
    """Read Alpaca's earlier turns, a list of pairs. A column `history` of another type is none of them."""
    history = raw.get("history")
    if not isinstance(history, list):
        return []
    if not all(isinstance(pair, list) and [type(text) for text in pair] == [str, str] for pair in history):
        raise BadRow('"history" must be a list of pairs: a question and an answer')
    return [(question, answer) for question, answer in history]


def _parse_chat(raw: dict[str, Any], name: str, columns: Columns) -> _Conversation:
    if name not in raw:
        raise BadRow(f'"{name}" is missing')
    turns = parse_messages(raw[name], name)
    sharegpt = "from" in raw[name][0] if raw[name] else False
    used: tuple[str, ...] = (name,)
    system = _choose_column(raw, columns.system, ("system",))
    if system and (prompt := _optional_text(raw, system)) and turns[:1] and turns[0].message["role"] != "system":
        turns, used = [Turn({"role": "system", "content": prompt}), *turns], (system, name)
    tools, tools_used = _find_tools(raw)
    return _Conversation("conversations" if sharegpt else "messages", (*used, *tools_used), turns, tools=tools)


def _find_tools(raw: dict[str, Any]) -> tuple[list[dict[str, Any]] | None, tuple[str, ...]]:
    """Find the tools of a row, and the column that has them."""
    for name in TOOLS:
        if raw.get(name) and (tools := parse_tools(raw[name])):
            return tools, (name,)
    return None, ()


def _choose_column(raw: dict[str, Any], named: str | None, usual: tuple[str, ...]) -> str | None:
    """Choose the column to read; None if the row has none."""
    return next((name for name in ((named,) if named else usual) if name in raw), None)


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _required_text(raw: dict[str, Any], name: str) -> str:
    if name not in raw:
        raise BadRow(f'"{name}" is missing')
    text = check_text(raw[name], f'"{name}"')
    if not text.strip():
        raise BadRow(f'"{name}" is empty')
    return text


def _optional_text(raw: dict[str, Any], name: str | None) -> str:
    return "" if name is None or raw[name] is None else check_text(raw[name], f'"{name}"').strip()
