"""Lets the trainer of a run answer in the place of a chat worker, between two steps. No second model is loaded."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from msgspec.structs import replace

from codex_tui.base.errors import CodexError
from training.contract import questions
from training.contract.chat_messages import AnswerEnd, ChatAnswer, ChatReady, ChatRequest, Generate, StopAnswer, Token
from training.contract.config import ConfigError, RowForm, RunConfig, get_table
from training.contract.messages import Loading, WorkerError
from training.contract.run_directory import RunDirectory

POLL_SECONDS = 0.1
LOOK_SECONDS = 1.0  # between two looks whether the trainer lives, and how long it takes to its next step
GONE = "The trainer ended before it answered."
NO_TRAINER = "No trainer runs, so none can answer."
HINT = "Ask again: then the answer comes from the saved adapter."


@dataclass
class _Question:
    """The question that waits for its answer. `offset` is the part of the answer that was read."""

    id: int
    name: str
    asked_at: float = field(default_factory=time.monotonic)
    offset: int = 0
    has_begun: bool = False
    tokens: int = 0
    waits: str = ""  # what was said about the wait


class TrainerChat:
    """Takes one question at a time, as `Conversation` asks them. `describe_wait` returns what the answer waits for."""

    def __init__(self, run: RunDirectory, describe_wait: Callable[[], str]) -> None:
        self._run, self._describe_wait = run, describe_wait
        self._question: _Question | None = None
        self._looked_at = 0.0
        self._own = list[ChatAnswer]([_make_ready(run)])  # answers that do not come from the trainer

    async def send(self, request: ChatRequest) -> None:
        """Raises CodexError if no trainer runs, or if the question can't be written."""
        match request:
            case Generate():
                await asyncio.to_thread(self._ask, request)
            case StopAnswer() if (question := self._question) and question.id == request.id:
                self._read()
                if self._question:  # it has not ended meanwhile
                    self._forget()
                    seconds = round(time.monotonic() - question.asked_at, 3)
                    self._own.append(
                        AnswerEnd(id=question.id, reason="stopped", tokens=question.tokens, seconds=seconds)
                    )

    def _ask(self, request: Generate) -> None:
        if not self._run.is_trainer_alive():
            raise CodexError(NO_TRAINER, HINT)
        try:
            self._question = _Question(request.id, questions.ask(self._run, request))
        except questions.QuestionTooLong:
            raise CodexError("The conversation is too long for the trainer.", "ctrl+l starts a new one.") from None
        except OSError as error:
            message = f"The question can't be written: {error.filename or self._run.path}: {error.strerror}."
            raise CodexError(message, "Free some space, then ask again.") from None

    async def __aiter__(self) -> AsyncIterator[ChatAnswer]:
        while True:
            self._read()
            own, self._own = self._own, []
            for answer in own:
                yield answer
            await asyncio.sleep(POLL_SECONDS)

    def _read(self) -> None:
        """Take over what the trainer has written. Raises CodexError if it is gone."""
        if (question := self._question) is None:
            return
        is_open = questions.question_path(self._run, question.name).exists()  # look before the last read
        answers, question.offset = questions.read_answer(self._run, question.name, question.offset)
        for answer in answers:
            self._own.append(replace(answer, id=question.id) if hasattr(answer, "id") else answer)
            question.has_begun = True
            question.tokens += isinstance(answer, Token)
            if isinstance(answer, AnswerEnd | WorkerError):
                self._forget()
                return
        if not is_open or not self._looks_alive(question):
            self._forget()
            raise CodexError(GONE, HINT)

    def _looks_alive(self, question: _Question) -> bool:
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return True
        self._looked_at = time.monotonic()
        if not question.has_begun and (waits := self._describe_wait()) != question.waits:
            question.waits = waits
            self._own.append(Loading(detail=waits, done=0, total=0))
        return self._run.is_trainer_alive()

    def _forget(self) -> None:
        question, self._question = self._question, None
        if question:
            questions.withdraw(self._run, question.name)

    def last_lines(self) -> str:
        return ""

    async def close(self) -> None:
        """Withdraw the question. The trainer goes on training."""
        self._forget()


def _make_ready(run: RunDirectory) -> ChatReady:
    try:
        config = RunConfig.read(run.config)
    except ConfigError:
        return ChatReady(device="", has_adapter=True, form=RowForm())
    length = get_table(config.actual, "model").get("max_seq_length")
    context = length if isinstance(length, int) and length > 0 else None
    return ChatReady(device="", has_adapter=True, form=config.find_row_form(), context=context)
