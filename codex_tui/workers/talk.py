"""Requests to a worker of a run, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Generic, Self

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.workers.process import Worker, find_python_for
from training.contract.messages import Answer, Request, WorkerProtocol
from training.contract.run_directory import RunDirectory


class WorkerTalk(Generic[Request, Answer]):
    """One worker of `protocol`. `report` hears what it does. A subclass has a method for each request, which raises
    CodexError if the request fails. `task` is the worker's task for people, as "exports"."""

    protocol: ClassVar[WorkerProtocol[Any, Any]]
    task: ClassVar[str]

    def __init__(self, worker: Worker[Request, Answer], report: OnProgress) -> None:
        self._worker, self._report = worker, report
        self._answers = aiter(worker)

    @classmethod
    @asynccontextmanager
    async def start(cls, run: RunDirectory, report: OnProgress) -> AsyncIterator[Self]:
        """Start the worker of `run`. It ends with the block. Raises CodexError."""
        report(Progress(f"starting the worker that {cls.task}"))
        python = await asyncio.to_thread(find_python_for, run)
        worker = await Worker.start(python, cls.protocol, run.path)
        try:
            yield cls(worker, report)
        finally:
            await worker.close()

    async def _receive(self) -> AsyncIterator[Answer]:
        async for answer in self._answers:
            yield answer

    def _explain_end(self) -> CodexError:
        return CodexError(f"The worker that {self.task} ended without an answer.", self._worker.last_lines())
