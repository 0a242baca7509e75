"""What a worker may say. Whoever reads a message can trust its types; what does not fit is no message of ours."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import msgspec

from training.contract.events import Count

Rows = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]


class Segment(TypedDict, total=False):
    text: str
    learned: bool
    cut: bool


class Message(TypedDict, total=False):
    """All fields of all kinds: none means two things. See `training.workers.chat` and `training.workers.inspect`."""

    type: str
    id: int | None
    detail: str
    done: Count
    total: Count | None
    device: str
    has_adapter: bool
    step: Count | None
    text: str
    reason: str
    tokens: Count | None
    seconds: float
    kind: str
    message: str
    hint: str
    why: str
    rows: Rows
    kept: Rows | None
    train_rows: Rows | None
    eval_rows: Rows | None
    scan: str | None
    lengths: str | None
    cached: bool
    what: str
    index: Rows
    file: str
    line: Count
    raw: Any
    problem: str
    shape: str | None
    segments: list[Segment]
    start: Count | None
    learned_tokens: Count | None
    max_seq_length: int
    truncated: bool
    split: str
    ids: list[tuple[Count, str]]


class NotUnderstood(ValueError):
    """A message whose fields are not what they should be."""


_decoder = msgspec.json.Decoder(Message)


def read(line: bytes) -> dict[str, Any] | None:
    """The message on one line; None where it is none, such as what a library prints. Raises NotUnderstood."""
    try:
        _decoder.decode(line)
        message = msgspec.json.decode(line)  # the same in the types of JSON
    except (ValueError, RecursionError) as error:
        if line.startswith(b'{"type"'):
            raise NotUnderstood(str(error)) from None
        return None
    return message if isinstance(message, dict) else None
