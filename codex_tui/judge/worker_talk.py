"""The requests to the judge worker, one after the other."""

from __future__ import annotations

from collections.abc import AsyncIterator

from codex_tui.base.progress import Progress
from codex_tui.workers.talk import WorkerTalk
from training.contract.judge_messages import (
    JUDGE,
    AskModels,
    JudgeAnswer,
    JudgeEnd,
    JudgeRequest,
    ListQuestions,
    MeasureRows,
    ModelsReady,
    QuestionList,
    RowMeasured,
)
from training.contract.judgement import Question
from training.contract.messages import Loading


class JudgeTalk(WorkerTalk[JudgeRequest, JudgeAnswer]):
    """One worker that judges. Each request raises CodexError if it fails."""

    protocol = JUDGE
    task = "judges"

    async def list_questions(self, questions: list[Question] | None, other: str | None) -> QuestionList:
        """Check `questions`, or make some from the held-out rows. `other` is the path of another run."""
        await self._worker.send(ListQuestions(questions=questions, other=other))
        async for answer in self._receive():
            if isinstance(answer, QuestionList):
                return answer
        raise self._explain_end()

    async def ask(self, request: AskModels) -> AsyncIterator[JudgeAnswer]:
        """Yield everything that the worker sends until all is answered."""
        await self._worker.send(request)
        async for answer in self._receive():
            if isinstance(answer, JudgeEnd):
                return
            yield answer
        raise self._explain_end()

    async def measure_rows(self, first: int) -> AsyncIterator[RowMeasured]:
        """Yield the rows from the position `first` on."""
        await self._worker.send(MeasureRows(first=first))
        async for answer in self._receive():
            match answer:
                case RowMeasured():
                    self._report(Progress("measuring the rows", answer.position + 1, answer.total, "rows"))
                    yield answer
                case JudgeEnd():
                    return
        raise self._explain_end()

    async def _receive(self) -> AsyncIterator[JudgeAnswer]:
        """Yield the worker's answers. Once the models are there, a Loading only says that the worker still works."""
        loaded = False
        async for answer in self._answers:
            loaded = loaded or isinstance(answer, ModelsReady)
            if isinstance(answer, Loading) and not loaded:
                self._report(Progress(answer.detail))
            yield answer
