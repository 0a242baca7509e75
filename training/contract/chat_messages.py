"""The messages of the chat worker. The trainer answers questions with the same ones.

The app sends Generate and StopAnswer. The worker sends Loading while it loads the model, then ChatReady, then for each
request AnswerBegin, Token and AnswerEnd.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

import msgspec
from msgspec import UNSET, UnsetType, field

from training.contract.config import RowForm
from training.contract.event_base import Count
from training.contract.messages import Loading, Message, NewTokens, WorkerError, WorkerProtocol

Temperature = Annotated[float, msgspec.Meta(ge=0, le=100)]
AnswerReason = Literal["eos", "length", "context", "stopped"]
TopP = Annotated[float, msgspec.Meta(gt=0, le=1)]


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


ChatRequest = Generate | StopAnswer
ChatAnswer = Loading | ChatReady | AnswerBegin | Token | AnswerEnd | WorkerError
CHAT: WorkerProtocol[ChatRequest, ChatAnswer] = WorkerProtocol("chat", ChatRequest, ChatAnswer)
