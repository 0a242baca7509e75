"""What the messages between the app and its workers share: one JSON object a line, in both directions.

Each worker is a process of the training environment. The app sends requests to the worker's stdin, and the worker sends
answers to its stdout. The messages of each worker are in a file beside this: `chat_messages.py`, `inspect_messages.py`,
`judge_messages.py`, `export_messages.py` and `gguf_messages.py`.

Each worker sends Loading while it loads something, and WorkerError. A worker ends when its stdin closes.

To add a message: define its struct in the file of its worker, add it to a union there, and `match` it at the other end.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Generic, TypeVar, get_args

import msgspec

from training.contract.event_base import Count
from training.contract.events import FailureKind

NewTokens = Annotated[int, msgspec.Meta(ge=1)]


class Message(msgspec.Struct, tag_field="type"):
    """The base of all messages. On the pipe, `type` is the tag of the class."""

    awaits_answer: ClassVar[bool] = True
    """Of a request: whether the worker answers it."""
    more_follows: ClassVar[bool] = False
    """Of an answer: whether it is a part of an answer that is not complete yet."""


class Loading(Message, tag="phase"):
    """The worker is at one of the `total` steps of loading. `done` counts the finished steps. It is sent again every
    few seconds as long as the worker does something, so a worker that hangs is silent."""

    more_follows = True
    detail: str
    done: Count
    total: Count


class WorkerError(Message, tag="error"):
    """A request failed: the chat request `id`, or the request for the row `id`. An `id` of None: the worker failed."""

    id: Count | None
    kind: FailureKind
    message: str
    hint: str = ""


Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)


class NotUnderstood(ValueError):
    """A line that is meant as a message, but is damaged or has wrong fields."""


class WorkerProtocol(Generic[Request, Answer]):
    """The messages of one worker. `command` is the argument of `python -m training` that starts it."""

    def __init__(self, command: str, requests: Any, answers: Any) -> None:
        """`requests` and `answers` are the types to decode: one struct, or a union of structs."""
        self.command = command
        self._requests = msgspec.json.Decoder(requests)
        self._answers = msgspec.json.Decoder(answers)
        tags = "|".join(str(kind.__struct_config__.tag) for kind in get_args(answers) or (answers,))
        self._answer_start = re.compile(rf'\{{"type": ?"({tags})"'.encode())

    def read_request(self, line: bytes) -> Request:
        """Raises NotUnderstood if `line` is no request."""
        try:
            request: Request = self._requests.decode(line)
        except (ValueError, RecursionError) as error:
            raise NotUnderstood(str(error)) from None
        return request

    def read_answer(self, line: bytes) -> Answer | None:
        """Returns None if `line` is no message, such as a text that a library prints.

        Raises NotUnderstood if the line begins like an answer but can't be read as one.
        """
        try:
            answer: Answer = self._answers.decode(line)
        except (ValueError, RecursionError) as error:
            if self._answer_start.match(line):
                raise NotUnderstood(str(error)) from None
            return None
        return answer


def encode(message: Message) -> bytes:
    """The line of `message`, with its newline."""
    return msgspec.json.encode(message) + b"\n"
