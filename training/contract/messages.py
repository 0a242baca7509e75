"""The messages between the app and its workers: one JSON object a line, in both directions.

There are two workers, each a process of the training environment. The app sends requests to the worker's stdin, and the
worker sends answers to its stdout:

chat     the app sends Generate and StopAnswer.
         The worker sends Loading while it loads the model, then ChatReady, then for each request AnswerBegin, Token
         and AnswerEnd.
inspect  the app sends ShowRow, Tokenise and Cancel.
         The worker sends Loading, then InspectReady, then a RenderedRow for each ShowRow. For all rows together it
         sends InspectProgress, then StatsReady or Cancelled.

Both workers send WorkerError. A worker ends when its stdin closes.

To add a message: define its struct here, add it to a union below, and `match` it at the other end.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Generic, Literal, TypedDict, TypeVar, get_args

import msgspec
from msgspec import UNSET, UnsetType, field

from training.contract.config import RowForm
from training.contract.events import Count, FailureKind

RowCount = Annotated[int, msgspec.Meta(ge=0, le=(1 << 32) - 1)]
"""A number of rows, or the index of a row: the dataset's tables have 32 bits for it."""

NewTokens = Annotated[int, msgspec.Meta(ge=1)]
Temperature = Annotated[float, msgspec.Meta(ge=0, le=100)]
AnswerReason = Literal["eos", "length", "context", "stopped"]
TopP = Annotated[float, msgspec.Meta(gt=0, le=1)]
RowSplit = Literal["train", "eval", "dropped", "bad", ""]


class Message(msgspec.Struct, tag_field="type"):
    """The base of all messages. On the pipe, `type` is the tag of the class."""

    awaits_answer: ClassVar[bool] = True
    """Of a request: whether the worker answers it."""
    more_follows: ClassVar[bool] = False
    """Of an answer: whether it is a part of an answer that is not complete yet."""


# Requests to the chat worker


class ChatTurn(TypedDict):
    """One turn of a conversation, as chat templates expect it."""

    role: str
    content: str


class Generate(Message, tag="generate"):
    """Asks for the answer to the last of `messages`, which have no system message.

    The worker puts the run's own system message before them, or `system_prompt` if it is set (None: no message). If the
    run learned plain text, the messages are one text, which the model continues. A `temperature` of 0 always picks the
    likeliest token; otherwise the same `seed` gives the same answer, and a `seed` of None another one each time.
    """

    id: Count
    messages: list[ChatTurn]
    adapter: bool = True
    max_new_tokens: NewTokens = 256
    temperature: Temperature = 0.0
    top_p: TopP = 1.0
    seed: Count | None = None
    system_prompt: str | UnsetType | None = UNSET


class StopAnswer(Message, tag="stop"):
    """Ends the answer to the request `id` after its next token, or before its first token."""

    awaits_answer = False  # AnswerEnd answers Generate
    id: Count


# Answers of the chat worker


class Loading(Message, tag="phase"):
    """The worker is at one of the `total` steps of loading. `done` counts the finished steps. It is sent again every
    few seconds as long as the worker does something, so a worker that hangs is silent."""

    more_follows = True
    detail: str
    done: Count
    total: Count


class ChatReady(Message, tag="ready"):
    """The model is loaded. `step` is the step of the checkpoint with the adapter, None for the run's own adapter.

    `form` is the form of the rows that the run learned from. `context` is the largest number of tokens that the model
    can see, None if it names none.
    """

    device: str
    has_adapter: bool
    step: Count | None = None
    form: RowForm = field(default_factory=RowForm)
    context: Count | None = None


class AnswerBegin(Message, tag="begin"):
    """The answer to the request `id` begins. The prompt has `tokens` tokens. `left_out` counts the oldest messages that
    do not fit into the model's context and are left out; of a plain text, the tokens at its start. `step` is the step
    of an adapter that is still trained."""

    more_follows = True
    id: Count
    tokens: Count
    left_out: Count = 0
    step: Count | None = None


class Token(Message, tag="token"):
    """The next piece of the answer to the request `id`."""

    more_follows = True
    id: Count
    text: str


class AnswerEnd(Message, tag="end"):
    """The answer to the request `id` is complete. "length" means that it reached `max_new_tokens`, "context" that it
    reached the end of the model's context."""

    id: Count
    reason: AnswerReason
    tokens: Count
    seconds: float


# Requests to the inspect worker


class ShowRow(Message, tag="row"):
    """Asks for one row. `index` counts all rows, good and bad. `max_seq_length` replaces the profile's value."""

    index: RowCount
    ids: bool = False
    max_seq_length: Count | None = None


class Tokenise(Message, tag="tokenise"):
    """Asks the worker to count the tokens of every row, in the background. The result stays in the cache."""


class Cancel(Message, tag="cancel"):
    """Cancels everything that runs in the background."""


# Answers of the inspect worker


class InspectReady(Message, tag="ready"):
    """The rows can be read. `kept`, `train_rows` and `eval_rows` are None while the scan of the rows is not finished.

    `scan` is the path of the finished scan. `why` says why the tokenizer can't be loaded, `hint` what to do about it:
    rows then come without tokens.
    """

    rows: RowCount
    kept: RowCount | None = None
    train_rows: RowCount | None = None
    eval_rows: RowCount | None = None
    scan: str | None = None
    why: str = ""
    hint: str = ""


class Segment(msgspec.Struct):
    """A part of a sequence's text that is learned or not, and that is inside the cut or beyond it."""

    text: str
    learned: bool = False
    cut: bool = False


class RenderedSequence(msgspec.Struct):
    """A sequence of tokens that the model learns from.

    `spans` are the learned places: the first one, and the one after the last one. `learned_tokens` counts those before
    the cut. `ids` is only sent if the request asks for it: the id and the text of each token.
    """

    segments: list[Segment]
    tokens: Count
    spans: list[tuple[Count, Count]]
    learned_tokens: Count
    ids: list[tuple[Count, str]] | UnsetType = UNSET


class RenderedRow(Message, tag="row", kw_only=True):
    """One row as the model sees it.

    `file` is empty if the dataset has a single file. `problem` says why a row is bad; `text` is then its line if it is
    not JSON. `sequences` is empty without a tokenizer; `why` says why there is none. There are several if the chat
    template changes earlier answers. `split` is empty while it is not known.
    """

    index: RowCount
    file: str = ""
    line: Count
    raw: Any = None
    problem: str = ""
    text: str = ""
    shape: str | None = None
    sequences: list[RenderedSequence] = field(default_factory=list)
    max_seq_length: Count
    split: RowSplit = ""
    why: str = ""

    @property
    def tokens(self) -> int:
        """The tokens of all sequences, before the cut."""
        return sum(sequence.tokens for sequence in self.sequences)

    @property
    def learned_tokens(self) -> int:
        """The tokens that are learned after the cut."""
        return sum(sequence.learned_tokens for sequence in self.sequences)

    @property
    def truncated(self) -> bool:
        return any(sequence.tokens > self.max_seq_length for sequence in self.sequences)


class InspectProgress(Message, tag="progress"):
    more_follows = True
    what: Literal["scanning", "tokenising"]
    done: Count
    total: Count


class StatsReady(Message, tag="digest"):
    """The scan of all rows is at `scan` and their lengths are at `lengths`. `cached`: the lengths were there already.

    A path is None if that part was not made. `why` then says why, `hint` what to do about it.
    """

    scan: str | None
    lengths: str | None
    cached: bool = False
    why: str = ""
    hint: str = ""


class Cancelled(Message, tag="cancelled"):
    """A task in the background was cancelled, or there was none to cancel."""


# Answers of both workers


class WorkerError(Message, tag="error"):
    """A request failed: the chat request `id`, or the request for the row `id`. An `id` of None: the worker failed."""

    id: Count | None
    kind: FailureKind
    message: str
    hint: str = ""


ChatRequest = Generate | StopAnswer
ChatAnswer = Loading | ChatReady | AnswerBegin | Token | AnswerEnd | WorkerError
InspectRequest = ShowRow | Tokenise | Cancel
InspectAnswer = Loading | InspectReady | RenderedRow | InspectProgress | StatsReady | Cancelled | WorkerError

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


CHAT: WorkerProtocol[ChatRequest, ChatAnswer] = WorkerProtocol("chat", ChatRequest, ChatAnswer)
INSPECT: WorkerProtocol[InspectRequest, InspectAnswer] = WorkerProtocol("inspect", InspectRequest, InspectAnswer)


def encode(message: Message) -> bytes:
    """The line of `message`, with its newline."""
    return msgspec.json.encode(message) + b"\n"
