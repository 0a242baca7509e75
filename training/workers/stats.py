"""What the inspect worker computes over all rows: the scan, and the length of each row in tokens. Both are kept in the
cache, so that the next start finds them there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import compress, islice
from pathlib import Path
from typing import Any

from training.contract.failures import TrainingFailure
from training.dataset import lengths as token_lengths
from training.dataset import scan as scans
from training.dataset.index import RowIndex
from training.dataset.lengths import Lengths
from training.dataset.scan import BAD, PROGRESS_SECONDS, Scan
from training.dataset.shapes import Columns, Row, read_row
from training.job.job import Job
from training.job.kept_tokens import hash_tokenizer
from training.job.tokens import RowEncoder

Report = Callable[[int, int], None]
IsCancelled = Callable[[], bool]

BATCH_ROWS = 64  # encoded while a row to show waits


class CacheNotWritable(TrainingFailure):
    """A result can't be written into the cache."""


class PriorityLock:
    """One tokenizer for two threads. The thread that counts all rows lets the thread that shows one row go first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._urgent = threading.Event()

    @contextmanager
    def urgent(self) -> Iterator[None]:
        """Takes the lock before any thread that waits in `patient`."""
        self._urgent.set()
        try:
            with self._lock:
                self._urgent.clear()
                yield
        finally:
            self._urgent.clear()

    @contextmanager
    def patient(self) -> Iterator[None]:
        while self._urgent.is_set():
            time.sleep(0.001)
        with self._lock:
            yield


class DatasetStats:
    """The scan and the lengths of a job's dataset.

    The methods return None if they are cancelled. They raise OSError, Unreadable and CacheNotWritable.
    """

    def __init__(self, job: Job, index: RowIndex) -> None:
        self.columns = Columns.from_dataset(job.profile.dataset)
        self.scan: Scan | None = None
        self._job, self._index = job, index

    def find_scan(self, report: Report, is_cancelled: IsCancelled) -> Path | None:
        """Sets `self.scan`, from the cache or by reading all rows. Returns its file."""
        loaded = scans.load_or_scan(
            self._index, self.columns, self._job.profile, self._job.cache, report, is_cancelled, self._save_scan
        )
        if loaded is None:
            return None
        path, self.scan = loaded
        return path

    def _save_scan(self, path: Path, scan: Scan) -> None:
        self.scan = scan  # useful even if it can't be saved
        with _writing(path):
            scans.save(path, scan)

    def find_lengths(
        self, tokenizer: Any, lock: PriorityLock, report: Report, is_cancelled: IsCancelled
    ) -> tuple[Path, bool] | None:
        """The file of the lengths, and whether it was in the cache already. Call `find_scan` first."""
        assert self.scan is not None
        fingerprint = self._index.fingerprint(cancelled=is_cancelled)
        if fingerprint is None:
            return None
        with lock.patient():
            tokenizer_hash = hash_tokenizer(tokenizer)
        path = token_lengths.cache_path(self._job.cache, fingerprint, tokenizer_hash, self._job.profile.dataset)
        if token_lengths.load(path, self.scan.kept):
            return path, True
        lengths = self._measure(tokenizer, lock, report, is_cancelled)
        if lengths is None:
            return None
        with _writing(path):
            token_lengths.save(path, lengths)
        return path, False

    def _measure(self, tokenizer: Any, lock: PriorityLock, report: Report, is_cancelled: IsCancelled) -> Lengths | None:
        assert self.scan is not None
        total, dataset = self.scan.kept, self._job.profile.dataset
        encoder, lengths, reported_at = RowEncoder(tokenizer, dataset), Lengths(), 0.0
        good = compress(self._index.records(), (not state & BAD for state in self.scan.states))
        has_tried_system = False
        while batch := [read_row(record, self.columns) for record in islice(good, BATCH_ROWS)]:
            if is_cancelled():
                return None
            if time.monotonic() - reported_at > PROGRESS_SECONDS:
                reported_at = time.monotonic()
                report(lengths.rows, total)
            with lock.patient():
                for encoded in encoder.encode(batch):
                    if encoded.refusal:
                        lengths.refuse(encoded.refusal)
                        continue
                    lengths.add((len(sequence.input_ids), sequence.spans) for sequence in encoded.sequences)
                    lengths.faults.add(encoded.faults)
                if not has_tried_system and (row := _find_system(batch, dataset.system_prompt)):
                    has_tried_system = True
                    lengths.system_ignored = encoder.ignores_system(row)
        report(total, total)
        return lengths


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"{path} can't be written: {error.strerror}."
        raise CacheNotWritable("unknown", message, "Set CODEX_TUI_HOME to a folder that you can write to.") from error


def _find_system(rows: list[Row], system_prompt: str | None) -> Row | None:
    """Find a conversation with a system message."""
    return next((row for row in rows if row.messages and (system_prompt or row.messages[0]["role"] == "system")), None)
