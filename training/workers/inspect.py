"""`python -m training inspect RUN_OR_CONFIG`: shows the dataset's rows as the model sees them.

Loads a tokenizer, no torch. The messages are in `training.contract.messages`.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import replace

from training.contract import failures
from training.contract.failures import Failure, TrainingFailure
from training.contract.inspect_messages import (
    INSPECT,
    Cancel,
    Cancelled,
    InspectAnswer,
    InspectProgress,
    InspectReady,
    InspectRequest,
    RenderedRow,
    RenderedSequence,
    RowSplit,
    Segment,
    ShowRow,
    StatsReady,
    Tokenise,
)
from training.contract.messages import Loading
from training.dataset.index import RowIndex
from training.dataset.records import BadRow
from training.dataset.scan import BAD, HELD_OUT
from training.dataset.shapes import read_row
from training.job import environ
from training.job.job import Job, explain_unreadable_dataset, read_job
from training.job.tokens import Encoded, RowEncoder, describe_refusal
from training.workers.pipe import Pipe
from training.workers.stats import CacheNotWritable, DatasetStats, PriorityLock
from training.workers.tokenizer import load_tokenizer

InspectPipe = Pipe[InspectRequest, InspectAnswer]
Task = Literal["scan", "tokenise"]

MAX_ROWS_SCANNED_BEFORE_READY = 50_000  # a larger dataset is scanned in the background
MAX_TEXT_BYTES = 100_000  # of a bad row
MAX_IDS = 20_000


def serve(target: Path) -> int:
    pipe: InspectPipe = Pipe(INSPECT)
    try:
        pipe.send(Loading(detail="loading the tokenizer and the rows", done=0, total=1))
        with pipe.repeat_loading():
            job = read_job(target)
            environ.prepare(job.profile, job.cache)
            environ.block_torch()
            inspector = RowInspector(job, pipe)
            ready = inspector.prepare()
        pipe.send(ready)
    except Exception as error:  # noqa: BLE001  the app shows any error
        pipe.send_error(error)
        return 1
    inspector.start()
    for request in pipe.requests():
        try:
            match request:
                case Tokenise():
                    inspector.begin("tokenise")
                case Cancel():
                    inspector.cancel()
                case ShowRow():
                    pipe.send(inspector.render(request))
        except BrokenPipeError:
            break
        except Exception as error:  # noqa: BLE001  this request failed; the next one may not
            pipe.send_error(error, request.index if isinstance(request, ShowRow) else None)
    return 0


class RowInspector:
    """Renders rows with the functions of the trainer: single rows on request, all rows in a thread."""

    def __init__(self, job: Job, pipe: InspectPipe) -> None:
        self._job, self._pipe = job, pipe
        with explain_unreadable_dataset(job):
            self._index = RowIndex.open(job.source, job.cache)
        self._stats = DatasetStats(job, self._index)
        self._scan_file: Path | None = None
        self._tokenizer: Any = None
        self._encoder: RowEncoder | None = None
        self._lock = PriorityLock()
        self._failure: Failure | None = None  # why there is no tokenizer
        self._tasks: queue.SimpleQueue[tuple[Task, threading.Event]] = queue.SimpleQueue()
        self._unfinished: dict[threading.Event, Task] = {}  # the key cancels the task

    def prepare(self) -> InspectReady:
        """Loads the tokenizer and scans a dataset that is not too large. Raises TrainingFailure if it can't be read."""
        try:
            self._tokenizer = load_tokenizer(self._job)
        except Exception as error:  # noqa: BLE001  the rows can be read without it
            self._failure = failures.classify(error)
        if len(self._index) <= MAX_ROWS_SCANNED_BEFORE_READY:
            with suppress(CacheNotWritable), explain_unreadable_dataset(self._job):
                self._scan_file = self._stats.find_scan(self._reporter("scanning"), lambda: False)
        ready = InspectReady(rows=len(self._index), scan=_text(self._scan_file), **_describe(self._failure))
        if (scan := self._stats.scan) is None:
            return ready
        eval_rows = scan.count(HELD_OUT)
        return replace(ready, kept=scan.kept, train_rows=scan.kept - eval_rows, eval_rows=eval_rows)

    def start(self) -> None:
        """Starts the thread for work on all rows. It begins with the scan if `prepare` did not do it."""
        threading.Thread(target=self._work, daemon=True).start()
        if self._stats.scan is None:
            self.begin("scan")

    def begin(self, task: Task) -> None:
        """Queues `task`, unless it is queued or running already."""
        if task not in self._unfinished.values():
            cancelled = threading.Event()
            self._unfinished[cancelled] = task
            self._tasks.put((task, cancelled))

    def cancel(self) -> None:
        """Cancels all tasks. Each answers with Cancelled; if there is no task, this method does."""
        unfinished = list(self._unfinished)
        for cancelled in unfinished:
            cancelled.set()
        if not unfinished:
            self._pipe.send(Cancelled())

    def _work(self) -> None:
        with suppress(BrokenPipeError):
            while True:
                task, cancelled = self._tasks.get()
                try:
                    answer = self._do(task, cancelled)
                except Exception as error:  # noqa: BLE001  this task failed; the next one may not
                    answer = self._stats_ready(None, False, failures.classify(error))
                del self._unfinished[cancelled]
                self._pipe.send(answer)

    def _do(self, task: Task, cancelled: threading.Event) -> StatsReady | Cancelled:
        with explain_unreadable_dataset(self._job):
            if self._scan_file is None:
                self._scan_file = self._stats.find_scan(self._reporter("scanning"), cancelled.is_set)
            if self._scan_file is None:
                return Cancelled()
            if task == "scan" or self._tokenizer is None:
                return self._stats_ready(None, False, self._failure)
            lengths = self._stats.find_lengths(
                self._tokenizer, self._lock, self._reporter("tokenising"), cancelled.is_set
            )
        return Cancelled() if lengths is None else self._stats_ready(*lengths)

    def _stats_ready(self, lengths: Path | None, cached: bool, failure: Failure | None = None) -> StatsReady:
        scan = _text(self._scan_file)
        return StatsReady(scan=scan, lengths=_text(lengths), cached=cached, **_describe(failure))

    def _reporter(self, what: Literal["scanning", "tokenising"]) -> Callable[[int, int], None]:
        return lambda done, total: self._pipe.send(InspectProgress(what=what, done=done, total=total))

    def render(self, request: ShowRow) -> RenderedRow:
        """Raises TrainingFailure if there is no such row."""
        index = request.index
        if index >= len(self._index):
            raise TrainingFailure("bad_data", f"There is no row {index}; there are {len(self._index)}.")
        limit = request.max_seq_length
        if limit is None:
            limit = self._job.profile.model.max_seq_length
        with explain_unreadable_dataset(self._job):
            record = self._index.record(index)
            file = self._job.source.label(record.file)
            rendered = partial(
                RenderedRow, index=index, file=file, line=record.line, raw=record.raw, max_seq_length=limit
            )
            try:
                row = read_row(record, self._stats.columns)
            except BadRow as problem:
                text = self._index.text(index, MAX_TEXT_BYTES).decode("utf-8", "replace")
                return rendered(problem=str(problem), text=text, split="bad")
            if self._tokenizer is None:
                why = f"{self._failure.message} {self._failure.hint}".strip() if self._failure else ""
                return rendered(shape=row.shape, split=self._split(index, None), why=why)
            with self._lock.urgent():
                if self._encoder is None:
                    self._encoder = RowEncoder(self._tokenizer, self._job.profile.dataset)
                [encoded] = self._encoder.encode([row])
                if encoded.refusal:
                    return rendered(shape=row.shape, problem=describe_refusal(row, encoded.refusal), split="bad")
                sequences = [self._render_sequence(sequence, limit, request.ids) for sequence in encoded.sequences]
            learned_tokens = sum(sequence.learned_tokens for sequence in sequences)
            return rendered(shape=row.shape, sequences=sequences, split=self._split(index, learned_tokens))

    def _render_sequence(self, encoded: Encoded, limit: int, with_ids: bool) -> RenderedSequence:
        ids = encoded.input_ids
        is_kept = len(ids) <= limit or self._job.profile.dataset.long_rows == "cut"
        sequence = RenderedSequence(
            segments=self._segments(encoded, limit, is_kept),
            tokens=len(ids),
            spans=list(encoded.spans),
            learned_tokens=encoded.cut(limit).learned_tokens if is_kept else 0,
        )
        if with_ids:
            sequence.ids = [(token, self._tokenizer.decode([token])) for token in ids[:MAX_IDS]]
        return sequence

    def _split(self, index: int, learned_tokens: int | None) -> RowSplit:
        if learned_tokens == 0:
            return "dropped"
        if (scan := self._stats.scan) is None:
            return ""
        state = scan.states[index]
        return "bad" if state & BAD else "eval" if state & HELD_OUT else "train"

    def _segments(self, encoded: Encoded, limit: int, is_kept: bool) -> list[Segment]:
        """The templated text, split where learning starts or ends and at the cut. Nothing is learned of a sequence that
        is not kept."""
        ids = encoded.input_ids
        places = {0, len(ids), min(limit, len(ids)), *itertools.chain.from_iterable(encoded.spans)}
        return [
            Segment(
                text=self._tokenizer.decode(ids[first:last]),
                learned=is_kept and any(start <= first < end for start, end in encoded.spans),
                cut=first >= limit,
            )
            for first, last in itertools.pairwise(sorted(places))
        ]


def _describe(failure: Failure | None) -> dict[str, Any]:
    """Return the fields of an answer that say what failed."""
    return {"why": failure.message, "hint": failure.hint, "kind": failure.kind} if failure else {}


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
