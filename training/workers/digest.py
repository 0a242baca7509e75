"""What the inspect worker finds out about all rows: the scan, and how long every row is for the model. Both are kept in
the cache, so that the second look costs nothing."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import compress
from pathlib import Path
from typing import Any

from training.contract.failures import TrainingFailure
from training.dataset import lengths as token_lengths
from training.dataset import scan as scans
from training.dataset.index import RowIndex
from training.dataset.lengths import Lengths
from training.dataset.scan import BAD, PROGRESS_SECONDS, Scan
from training.dataset.shapes import Columns, Row, row_of
from training.job.job import Job
from training.job.tokens import encode_row

Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]


class Unkept(TrainingFailure):
    """What was found can't be written into the cache."""


class Turns:
    """One tokenizer for two threads: the one that counts all rows lets the one that is asked for a row go first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = threading.Event()

    @contextmanager
    def first(self) -> Iterator[None]:
        self._asked.set()
        try:
            with self._lock:
                self._asked.clear()
                yield
        finally:
            self._asked.clear()

    @contextmanager
    def after(self) -> Iterator[None]:
        while self._asked.is_set():
            time.sleep(0.001)
        with self._lock:
            yield


class Digest:
    """Of one job's dataset. Each method returns None once `cancelled`; both raise OSError, Unreadable and Unkept."""

    def __init__(self, job: Job, index: RowIndex) -> None:
        self.columns = Columns.of(job.profile.dataset)
        self._job, self._index = job, index
        self.scan: Scan | None = None

    def scanned(self, progress: Progress, cancelled: Cancelled) -> Path | None:
        """The file of the scan, made where there is none; `self.scan` is it."""
        job = self._job
        found = scans.load_or_scan(self._index, self.columns, job.profile, job.cache, progress, cancelled, self._keep)
        if found is None:
            return None
        place, self.scan = found
        return place

    def _keep(self, place: Path, found: Scan) -> None:
        self.scan = found  # is of use even where it can't be kept
        with _keeping(place):
            scans.save(place, found)

    def measured(
        self, tokenizer: Any, turns: Turns, progress: Progress, cancelled: Cancelled
    ) -> tuple[Path, bool] | None:
        """The file of the lengths, and whether it was there already. The scan comes first."""
        assert self.scan is not None
        fingerprint = self._index.fingerprint(cancelled=cancelled)
        if fingerprint is None:
            return None
        prompt = self._job.profile.dataset.system_prompt
        with turns.after():
            known = identity(tokenizer)
        place = token_lengths.cache_path(self._job.cache, fingerprint, self.columns, known, prompt)
        if token_lengths.load(place, self.scan.kept):
            return place, True
        found = self._measure(tokenizer, turns, progress, cancelled)
        if found is None:
            return None
        with _keeping(place):
            token_lengths.save(place, found)
        return place, False

    def _measure(self, tokenizer: Any, turns: Turns, progress: Progress, cancelled: Cancelled) -> Lengths | None:
        assert self.scan is not None
        kept, prompt = self.scan.kept, self._job.profile.dataset.system_prompt
        found, told_at, tried_system = Lengths(), 0.0, False
        good = (not state & BAD for state in self.scan.states)
        for done, record in enumerate(compress(self._index.records(), good)):
            if cancelled():
                return None
            if time.monotonic() - told_at > PROGRESS_SECONDS:
                told_at = time.monotonic()
                progress(done, kept)
            row = row_of(record, self.columns)
            try:
                with turns.after():
                    encoded = encode_row(tokenizer, row, prompt)
                    if not tried_system and row.messages and (prompt or row.messages[0]["role"] == "system"):
                        tried_system, found.system_ignored = True, _without_system(tokenizer, row) == encoded.input_ids
            except TrainingFailure as failure:
                found.refuse(failure.message.partition(": ")[2] or failure.message)
            else:
                found.add(len(encoded.input_ids), encoded.start)
        progress(kept, kept)
        return found


@contextmanager
def _keeping(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"{place} can't be written: {error.strerror}."
        raise Unkept("unknown", message, "CODEX_TUI_HOME names another place.") from error


def identity(tokenizer: Any) -> str:
    """Changes with all that decides what becomes of a row: the vocabulary, its rules and the chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    vocabulary = backend.to_str() if backend is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    parts = (type(tokenizer).__name__, vocabulary, str(tokenizer.chat_template), str(tokenizer.special_tokens_map))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _without_system(tokenizer: Any, row: Row) -> list[int] | None:
    messages = [message for message in row.messages if message["role"] != "system"]
    with suppress(TrainingFailure):
        return encode_row(tokenizer, replace(row, messages=messages), None).input_ids
    return None
