"""`python -m training export RUN`: merges the run's adapter into its base model, and asks the merged model.

The messages are in `training.contract.export_messages`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from training.contract.export_messages import (
    EXPORT,
    Asked,
    AskEnd,
    AskMerged,
    BaseDescribed,
    DescribeBase,
    ExportAnswer,
    ExportRequest,
    ListProofQuestions,
    Merged,
    Merging,
)
from training.contract.export_messages import Merge as MergeRequest
from training.contract.messages import Loading
from training.contract.run_directory import RunDirectory
from training.export.adapter import Adapter
from training.export.base import Base
from training.export.merge import Merge
from training.export.model import write_model
from training.export.prove import MergedModel, list_questions
from training.job.job import Job
from training.job.model import resolve_source
from training.judge.models import find_adapter
from training.workers.pipe import Pipe
from training.workers.run_worker import serve_run

ExportPipe = Pipe[ExportRequest, ExportAnswer]
STEPS = 2
REPORT_SECONDS = 0.2


def serve(path: Path) -> int:
    pipe: ExportPipe = Pipe(EXPORT)
    return serve_run(pipe, path, STEPS, partial(_answer, pipe))


def _answer(pipe: ExportPipe, run: RunDirectory, job: Job, request: ExportRequest) -> None:
    match request:
        case DescribeBase():
            merge = _plan(pipe, run, job, request)
            pipe.send(
                BaseDescribed(
                    fingerprint=merge.base.compute_fingerprint(),
                    size=merge.size,
                    tensors=len(merge.tensors),
                    adapted=merge.adapted,
                    parameters=merge.parameters,
                    dtype=merge.dtype,
                    quantised=merge.base.has_four_bits,
                )
            )
        case MergeRequest():
            merge = _plan(pipe, run, job, request)
            files = write_model(merge, job.config.chat_template, Path(request.folder), _make_report(pipe))
            pipe.send(Merged(files=files, untied=merge.untied))
        case ListProofQuestions():
            pipe.send(Loading(detail="reading the rows", done=0, total=STEPS))
            pipe.send(list_questions(run, job, request.book, request.max_questions))
        case AskMerged():
            model = MergedModel.load(
                Path(request.folder),
                job,
                lambda detail, done: pipe.send(Loading(detail=detail, done=done, total=STEPS)),
            )
            for place, exported in model.ask(request.questions, request.max_new_tokens):
                pipe.send(Asked(index=place, exported=exported))
            pipe.send(AskEnd())


def _plan(pipe: ExportPipe, run: RunDirectory, job: Job, request: DescribeBase | MergeRequest) -> Merge:
    pipe.send(Loading(detail="reading the base model", done=1, total=STEPS))
    folder = Path(resolve_source(request.base, job.cache))
    base = Base.open(folder, job.dtype, request.choice, load_in_4bit=job.load_in_4bit)
    return Merge.plan(base, Adapter.read(find_adapter(run)), request.dtype)


def _make_report(pipe: ExportPipe) -> Callable[[int, int], None]:
    """Return a function that sends the progress of a merge: at most five times a second, and at the end."""
    last = 0.0

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= REPORT_SECONDS:
            last = now
            pipe.send(Merging(done=done, total=total))

    return report
