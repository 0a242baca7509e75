"""The life of a worker, shared by the chat and the rows: start, read, fail, start again, close."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar

from codex_tui.base.errors import CodexError
from training.contract.messages import Answer, Request, WorkerProtocol
from training.contract.run_directory import RunDirectory

WorkerStatus = Literal["off", "loading", "ready", "answering", "failed"]


Sent = TypeVar("Sent", contravariant=True)
Received = TypeVar("Received", covariant=True)


class AnyWorker(Protocol[Sent, Received]):
    """A `Worker`, or another process that takes the same requests and sends the same answers."""

    async def send(self, request: Sent) -> None:
        """Raises CodexError if it has ended."""

    def __aiter__(self) -> AsyncIterator[Received]:
        """The answers until it ends. Raises CodexError if it fails."""

    def last_lines(self) -> str:
        """The last lines of its output."""

    async def close(self) -> None:
        """Ends it and waits until its memory is free."""


class WorkerClient(ABC, Generic[Request, Answer]):
    """Starts one worker, reads its answers until it ends, and starts it again after that.

    Calls `on_change` whenever there is something new to show. `error` is the last failure, None after a new start.
    """

    def __init__(
        self, protocol: WorkerProtocol[Request, Answer], target: RunDirectory | Path, on_change: Callable[[], None]
    ) -> None:
        """`target` is a run, or a config.json without a run."""
        self.status: WorkerStatus = "off"
        self.error: CodexError | None = None
        self.notice = ""  # a remark on the interpreter of the last start
        self._protocol = protocol
        self._target = target
        self._on_change = on_change
        self._worker: AnyWorker[Request, Answer] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._life = asyncio.Lock()  # a start and a close never overlap

    async def start(self) -> None:
        """Starts the worker, unless it runs already."""
        async with self._life:
            if self.status not in ("off", "failed") and not self._is_outdated():
                return
            await self._end()
            self.status, self.error = "loading", None
            self._prepare()
            self._on_change()
            try:
                self._worker = await self._start_worker()
            except CodexError as error:
                self._fail(error)
                return
            self._reading = asyncio.create_task(self._read(self._worker))

    async def _start_worker(self) -> AnyWorker[Request, Answer]:
        """Raises CodexError."""
        from codex_tui.workers.process import Worker

        python, self.notice = await asyncio.to_thread(_find_interpreter, self._target)
        place = self._target.path if isinstance(self._target, RunDirectory) else self._target
        return await Worker.start(python, self._protocol, place)

    async def close(self) -> None:
        """Ends the worker. Its memory is free when this returns."""
        async with self._life:
            await self._end()

    def _is_outdated(self) -> bool:
        """Whether a running worker has to be started again before it is used."""
        return False

    def _prepare(self) -> None:
        """Called before each start, with the status "loading"."""
        return

    @abstractmethod
    async def _receive(self, answer: Answer) -> None:
        """Called with each answer of the worker."""

    @abstractmethod
    def _on_end(self, last_lines: str) -> None:
        """Called when the worker has ended without an error. `last_lines` is the end of its stderr."""

    async def _send(self, request: Request) -> None:
        if self._worker is None:
            return
        try:
            await self._worker.send(request)
        except CodexError as error:
            self._fail(error)

    def _fail(self, error: CodexError, *, fatal: bool = True) -> None:
        """A `fatal` error ends the worker; any other error concerns one request."""
        self.status, self.error = "failed" if fatal else "ready", error
        self._on_change()

    async def _read(self, worker: AnyWorker[Request, Answer]) -> None:
        try:
            async for answer in worker:
                await self._receive(answer)
                self._on_change()
        except CodexError as error:
            self._fail(error)
        else:
            if self.status != "failed":
                self._on_end(worker.last_lines())
                self._on_change()
        await worker.close()
        self._worker = None

    async def _end(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()
        self.status = "off"


def _find_interpreter(target: RunDirectory | Path) -> tuple[Path, str]:
    """Return the interpreter, and a remark if the run's config.json names another one. Raises EnvironmentMissing."""
    from codex_tui.environment import build
    from codex_tui.workers.process import describe_unused_python, find_python_for

    if isinstance(target, RunDirectory):
        return find_python_for(target), describe_unused_python(target)
    return build.find_python(), ""
