"""The requests to the export worker, one after the other."""

from __future__ import annotations

from pathlib import Path

from codex_tui.base.progress import Progress
from codex_tui.workers.talk import WorkerTalk
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


class ExportTalk(WorkerTalk[ExportRequest, ExportAnswer]):
    """One worker that exports. Each request raises CodexError if it fails."""

    protocol = EXPORT
    task = "exports"

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
