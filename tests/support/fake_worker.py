"""A worker in the same process: the base of those that answer like the chat and the inspect worker."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar, Self

from codex_tui.base.errors import CodexError
from training.contract.messages import Message, WorkerProtocol, encode


class InProcessWorker(ABC):
    """Takes the place of `codex_tui.workers.process.Worker`. All messages pass the protocol's own decoders.

    `started` holds the workers of one test: each test makes a subclass with a list of its own.
    """

    started: ClassVar[list[Self]] = []  # type: ignore[misc]

    def __init__(self, protocol: WorkerProtocol[Message, Message], place: Path) -> None:
        self.protocol, self.place = protocol, place
        self.sent: list[Message] = []  # the requests of the app
        self.closed = False
        self._answers: asyncio.Queue[Message | CodexError] = asyncio.Queue()
        self.begin()

    @classmethod
    async def start(cls, python: Path, protocol: WorkerProtocol[Message, Message], place: Path) -> Self:
        cls.started.append(cls(protocol, place))
        return cls.started[-1]

    @abstractmethod
    def begin(self) -> None:
        """Sends what a worker sends before the first request."""

    @abstractmethod
    def take(self, request: Message) -> None:
        """Answers a request."""

    async def send(self, request: Message) -> None:
        self.sent.append(self.protocol.read_request(encode(request)))
        self.take(self.sent[-1])

    def say(self, answer: Message) -> None:
        received = self.protocol.read_answer(encode(answer))
        assert received == answer
        self._answers.put_nowait(received)

    def fail(self, error: CodexError) -> None:
        """Ends the stream of answers as a real worker does that fails."""
        self._answers.put_nowait(error)

    async def __aiter__(self) -> AsyncIterator[Message]:
        while True:
            answer = await self._answers.get()
            if isinstance(answer, CodexError):
                raise answer
            yield answer

    def last_lines(self) -> str:
        return ""

    async def close(self) -> None:
        self.closed = True
