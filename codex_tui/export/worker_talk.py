"""The requests to the export worker, one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.workers.process import Worker, find_python_for
from training.contract.export_messages import (
    EXPORT,
    Asked,
    AskEnd,
    AskMerged,
    BaseChoice,
    BaseDescribed,
    DescribeBase,
    Dtype,
    ExportAnswer,
    Exported,
    ExportRequest,
    ListProofQuestions,
    Merge,
    Merged,
    Merging,
    ProofQuestion,
    ProofQuestions,
)
from training.contract.judgement import Question
from training.contract.messages import Loading
from training.contract.run_directory import RunDirectory


@asynccontextmanager
async def start_worker(run: RunDirectory, report: OnProgress) -> AsyncIterator[Talk]:
    """Start the worker of `run`. It ends with the block. Raises CodexError."""
    report(Progress("starting the worker that exports"))
    python = await asyncio.to_thread(find_python_for, run)
    worker = await Worker.start(python, EXPORT, run.path)
    try:
        yield Talk(worker, report)
    finally:
        await worker.close()


class Talk:
    """One worker. Reports what it does. Each request raises CodexError if it fails."""

    def __init__(self, worker: Worker[ExportRequest, ExportAnswer], report: OnProgress) -> None:
        self._worker, self._report = worker, report
        self._answers = aiter(worker)

    async def describe_base(self, base: str, choice: BaseChoice, dtype: Dtype | None) -> BaseDescribed:
        await self._worker.send(DescribeBase(base=base, choice=choice, dtype=dtype))
        async for answer in self._receive():
            if isinstance(answer, BaseDescribed):
                return answer
        raise self._explain_end()

    async def merge(self, base: str, choice: BaseChoice, folder: Path, dtype: Dtype | None) -> Merged:
        """Write the merged model into the empty folder `folder`."""
        await self._worker.send(Merge(base=base, choice=choice, folder=str(folder), dtype=dtype))
        is_merging = False
        async for answer in self._receive():
            match answer:
                case Merging():
                    is_merging = True
                    self._report(Progress("merging", answer.done, answer.total))
                case Loading() if not is_merging:
                    self._report(Progress(answer.detail))
                case Merged():
                    return answer
        raise self._explain_end()

    async def list_questions(self, book: list[Question] | None, count: int) -> ProofQuestions:
        """Choose at most `count` questions for a proof: of the held-out rows, else of `book`, else of training rows."""
        await self._worker.send(ListProofQuestions(book=book, max_questions=count))
        async for answer in self._receive():
            match answer:
                case Loading():
                    self._report(Progress(answer.detail))
                case ProofQuestions():
                    return answer
        raise self._explain_end()

    async def ask_merged(self, folder: Path, questions: list[ProofQuestion], max_new_tokens: int) -> list[Exported]:
        """Ask the merged model in `folder`."""
        await self._worker.send(AskMerged(folder=str(folder), questions=questions, max_new_tokens=max_new_tokens))
        answers: dict[int, Exported] = {}
        async for answer in self._receive():
            match answer:
                case Loading() if not answers:
                    self._report(Progress(answer.detail))
                case Asked():
                    answers[answer.index] = answer.exported
                    self._report(Progress("the exported model answers", len(answers), len(questions), "questions"))
                case AskEnd():
                    return [answers[place] for place in range(len(questions))]
        raise self._explain_end()

    async def _receive(self) -> AsyncIterator[ExportAnswer]:
        async for answer in self._answers:
            yield answer

    def _explain_end(self) -> CodexError:
        return CodexError("The worker that exports ended without an answer.", self._worker.last_lines())
