"""`python -m training inspect RUN_OR_CONFIG`: the dataset's rows as the model sees them. Loads a tokenizer, no torch.

out  {"type":"ready","rows":n,"kept":n|null,"train_rows":n|null,"eval_rows":n|null,"scan":PATH|null,"why":"","hint":""}
     `why` says what keeps the tokenizer from loading: rows then come without tokens. The counts are null where more
     than BEFORE_READY rows are yet to be scanned; a "digest" tells when that is done
in   {"type":"row","index":i}                   index among all rows, good and bad; optional: "ids":true, and
                                                "max_seq_length":n for another cut than the profile's
out  {"type":"row","index":i,"file":"name, of several","line":n,"raw":{...}|null,"problem":"","text":"of a bad row",
      "shape":"instruction","segments":[{"text":"...","learned":bool,"cut":bool}...],"tokens":n|null,"start":n,
      "learned_tokens":n,"max_seq_length":n,"truncated":bool,"split":"train"|"eval"|"dropped"|"bad"|"",
      "ids":[[id,"text"]...] where asked,"why":""}
in   {"type":"tokenise"}   every row, in the background; kept in the cache for the next time
out  {"type":"progress","what":"scanning"|"tokenising","done":n,"total":n} ...
     {"type":"digest","scan":PATH|null,"lengths":PATH|null,"cached":bool,"why":"","hint":""}
in   {"type":"cancel"}     out {"type":"cancelled"}
"""

from __future__ import annotations

import itertools
import queue
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from training.contract import failures
from training.contract.failures import TrainingFailure
from training.dataset.index import RowIndex
from training.dataset.records import BadRow
from training.dataset.scan import BAD, HELD_OUT
from training.dataset.shapes import row_of
from training.job import environ
from training.job.job import Job, explain_unreadable_dataset, read_job
from training.job.tokens import Encoded, encode_row
from training.workers.digest import Digest, Turns, Unkept
from training.workers.pipe import Pipe

BEFORE_READY = 50_000  # rows that are scanned before the first one is shown
LONGEST_TEXT = 100_000  # bytes of a bad row
MOST_IDS = 20_000


def serve(target: Path) -> int:
    pipe = Pipe()
    try:
        viewer = SampleViewer(read_job(target), pipe)
        pipe.send({"type": "ready", **viewer.prepare()})
    except Exception as error:  # noqa: BLE001  whatever it is, the app is told
        pipe.send_error(error)
        return 1
    viewer.start()
    for message in pipe.messages():
        kind = message.get("type")
        try:
            if kind == "tokenise":
                viewer.ask("tokenise")
            elif kind == "cancel":
                viewer.cancel()
            else:
                pipe.send({"type": "row", **viewer.row(message)})
        except BrokenPipeError:
            break
        except Exception as error:  # noqa: BLE001
            pipe.send_error(error, message.get("index"))
    return 0


class SampleViewer:
    """Rows through the very functions that the trainer uses, each when it is asked for; all of them in a thread."""

    def __init__(self, job: Job, pipe: Pipe) -> None:
        environ.prepare(job.profile, job.cache)
        sys.modules["torch"] = None  # type: ignore[assignment]  # transformers does without, and starts in a second
        self._job, self._pipe = job, pipe
        with explain_unreadable_dataset(job):
            self._index = RowIndex.open(job.source, job.cache)
        self._digest = Digest(job, self._index)
        self._scan_file: Path | None = None
        self._tokenizer: Any = None
        self._turns = Turns()
        self._why = self._hint = ""
        self._tasks: queue.SimpleQueue[tuple[str, threading.Event]] = queue.SimpleQueue()
        self._under_way: dict[threading.Event, str] = {}  # the task of each that would cancel it

    def prepare(self) -> dict[str, Any]:
        """What "ready" says. Raises TrainingFailure where the dataset can't be read."""
        try:
            from training.job.model import load_tokenizer

            self._tokenizer = load_tokenizer(self._job.model_name, self._job.cache, self._job.profile.model.revision)
        except Exception as error:  # noqa: BLE001  the rows can be read without it
            self._why, self._hint = _reason(error)
        if len(self._index) <= BEFORE_READY:
            with suppress(Unkept), explain_unreadable_dataset(self._job):
                self._scan_file = self._digest.scanned(self._progress("scanning"), lambda: False)
        return {"rows": len(self._index), **self._counts(), "scan": _text(self._scan_file),
                "why": self._why, "hint": self._hint}  # fmt: skip

    def _counts(self) -> dict[str, int | None]:
        """Rows in each split, before any is dropped for its length."""
        if (scan := self._digest.scan) is None:
            return {"kept": None, "train_rows": None, "eval_rows": None}
        held = scan.count(HELD_OUT)
        return {"kept": scan.kept, "train_rows": scan.kept - held, "eval_rows": held}

    def start(self) -> None:
        """Begins with what is done in the background."""
        threading.Thread(target=self._work, daemon=True).start()
        if self._digest.scan is None:
            self.ask("scan")

    def ask(self, task: str) -> None:
        if task not in self._under_way.values():
            cancelled = threading.Event()
            self._under_way[cancelled] = task
            self._tasks.put((task, cancelled))

    def cancel(self) -> None:
        """Each task that is under way tells that it is cancelled; if none is, that is told at once."""
        under_way = list(self._under_way)
        for cancelled in under_way:
            cancelled.set()
        if not under_way:
            self._pipe.send({"type": "cancelled"})

    def _work(self) -> None:
        with suppress(BrokenPipeError):
            while True:
                task, cancelled = self._tasks.get()
                try:
                    told = self._done(task, cancelled)
                except Exception as error:  # noqa: BLE001
                    why, hint = _reason(error)
                    told = self._told(None, False, why, hint)
                del self._under_way[cancelled]
                self._pipe.send(told)

    def _done(self, task: str, cancelled: threading.Event) -> dict[str, Any]:
        with explain_unreadable_dataset(self._job):
            if self._scan_file is None:
                self._scan_file = self._digest.scanned(self._progress("scanning"), cancelled.is_set)
            if self._scan_file is None:
                return {"type": "cancelled"}
            if task == "scan" or self._tokenizer is None:
                return self._told(None, False, self._why, self._hint)
            found = self._digest.measured(
                self._tokenizer, self._turns, self._progress("tokenising"), cancelled.is_set
            )  # fmt: skip
        return {"type": "cancelled"} if found is None else self._told(*found)

    def _told(self, lengths: Path | None, cached: bool, why: str = "", hint: str = "") -> dict[str, Any]:
        return {"type": "digest", "scan": _text(self._scan_file), "lengths": _text(lengths), "cached": cached,
                "why": why, "hint": hint}  # fmt: skip

    def _progress(self, what: str) -> Any:
        return lambda done, total: self._pipe.send({"type": "progress", "what": what, "done": done, "total": total})

    def row(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The row that is asked for. Raises TrainingFailure where there is none."""
        index = asked.get("index")
        if not isinstance(index, int) or not 0 <= index < len(self._index):
            raise TrainingFailure("bad_data", f"There is no row {index!r}; there are {len(self._index)}.")
        with explain_unreadable_dataset(self._job):
            record = self._index.record(index)
            shown = {"index": index, "file": self._job.source.label(record.file), "line": record.line,
                     "raw": record.raw, "problem": "", "text": "", "shape": None, "segments": [], "tokens": None,
                     "start": None, "learned_tokens": None, "truncated": False, "split": "", "why": ""}  # fmt: skip
            limit = asked.get("max_seq_length")
            shown["max_seq_length"] = limit = (
                limit if isinstance(limit, int) else self._job.profile.model.max_seq_length
            )
            try:
                row = row_of(record, self._digest.columns)
                shown["shape"] = row.shape
                if self._tokenizer is None:
                    return {**shown, "split": self._split(index, None), "why": f"{self._why} {self._hint}".strip()}
                with self._turns.first():
                    encoded = encode_row(self._tokenizer, row, self._job.profile.dataset.system_prompt)
                    return {**shown, **self._seen(index, encoded, limit, bool(asked.get("ids")))}
            except BadRow as problem:
                text = self._index.text(index, LONGEST_TEXT).decode("utf-8", "replace")
                return {**shown, "problem": str(problem), "text": text, "split": "bad"}
            except TrainingFailure as failure:  # the template refuses it
                return {**shown, "problem": failure.message, "split": "bad"}

    def _seen(self, index: int, encoded: Encoded, limit: int, ids: bool) -> dict[str, Any]:
        learned_tokens = sum(encoded.learned[:limit])
        seen = {
            "segments": self._segments(encoded.input_ids, encoded.learned, limit),
            "tokens": len(encoded.input_ids),
            "start": encoded.start,
            "learned_tokens": learned_tokens,
            "truncated": len(encoded.input_ids) > limit,
            "split": self._split(index, learned_tokens),
        }
        if ids:
            seen["ids"] = [[token, self._tokenizer.decode([token])] for token in encoded.input_ids[:MOST_IDS]]
        return seen

    def _split(self, index: int, learned_tokens: int | None) -> str:
        if learned_tokens == 0:
            return "dropped"
        if (scan := self._digest.scan) is None:
            return ""
        state = scan.states[index]
        return "bad" if state & BAD else "eval" if state & HELD_OUT else "train"

    def _segments(self, ids: list[int], learned: list[bool], limit: int) -> list[dict[str, Any]]:
        """The templated text, split where learning starts or ends and where it is cut."""
        tagged = ((is_learned, position >= limit, token) for position, (token, is_learned) in
                  enumerate(zip(ids, learned, strict=True)))  # fmt: skip
        return [
            {"text": self._tokenizer.decode([token for *_, token in group]), "learned": is_learned, "cut": is_cut}
            for (is_learned, is_cut), group in itertools.groupby(tagged, key=lambda item: item[:2])
        ]


def _reason(error: Exception) -> tuple[str, str]:
    """What is wrong, and what to do."""
    failure = failures.classify(error)
    return failure.message, failure.hint


def _text(path: Path | None) -> str | None:
    return str(path) if path else None
