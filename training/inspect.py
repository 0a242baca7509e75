"""`python -m training inspect RUN_OR_CONFIG`: the dataset's rows as the model sees them. Loads a tokenizer, no torch.

out  {"type":"ready","rows":n,"train_rows":n,"eval_rows":n}
in   {"type":"row","index":i}
out  {"type":"row","index":i,"line":n,"raw":{...},"segments":[{"text":"...","learned":bool,"cut":bool}...],
      "tokens":n,"learned_tokens":n,"max_seq_length":n,"truncated":bool,"split":"train"|"eval"|"dropped"}
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

from training import surroundings
from training.contract.dataset.shapes import Row
from training.contract.dataset.split import held_out
from training.data import encode_row
from training.failures import TrainingFailure
from training.job import Job, read_all_rows, read_job
from training.pipe import Pipe


def serve(target: Path) -> int:
    pipe = Pipe()
    try:
        viewer = SampleViewer(read_job(target))
        pipe.send({"type": "ready", **viewer.counts()})
    except Exception as error:  # noqa: BLE001  whatever it is, the app is told
        pipe.send_error(error)
        return 1
    for message in pipe.messages():
        try:
            pipe.send({"type": "row", **viewer.row(message.get("index"))})
        except BrokenPipeError:
            break
        except Exception as error:  # noqa: BLE001
            pipe.send_error(error, message.get("index"))
    return 0


class SampleViewer:
    """Rows through the very functions that the trainer uses; each is tokenised when it is asked for."""

    def __init__(self, job: Job) -> None:
        surroundings.prepare(job.profile, job.cache)
        sys.modules["torch"] = None  # type: ignore[assignment]  # transformers does without, and starts in a second
        from training.model import load_tokenizer

        self._profile = job.profile
        self._rows = read_all_rows(job).rows
        self._evaluated = held_out(len(self._rows), job.profile)
        self._tokenizer = load_tokenizer(job.model_name, job.cache, job.profile.model.revision)

    def counts(self) -> dict[str, int]:
        """Rows in all and in each split, before any is dropped for its length."""
        held = len(self._evaluated)
        return {"rows": len(self._rows), "train_rows": len(self._rows) - held, "eval_rows": held}

    def row(self, index: Any) -> dict[str, Any]:
        """Row `index`, counted from 0. Raises TrainingFailure where there is none."""
        if not isinstance(index, int) or not 0 <= index < len(self._rows):
            raise TrainingFailure("bad_data", f"There is no row {index!r}; there are {len(self._rows)}.")
        row: Row = self._rows[index]
        limit = self._profile.model.max_seq_length
        encoded = encode_row(self._tokenizer, row, self._profile.dataset.system_prompt)
        learned_tokens = sum(encoded.learned[:limit])
        return {
            "index": index,
            "line": row.line,
            "raw": row.raw,
            "segments": self._segments(encoded.input_ids, encoded.learned, limit),
            "tokens": len(encoded.input_ids),
            "learned_tokens": learned_tokens,
            "max_seq_length": limit,
            "truncated": len(encoded.input_ids) > limit,
            "split": "eval" if index in self._evaluated else "train" if learned_tokens else "dropped",
        }

    def _segments(self, ids: list[int], learned: list[bool], limit: int) -> list[dict[str, Any]]:
        """The templated text, split where learning starts or ends and where it is cut."""
        tagged = ((is_learned, position >= limit, token) for position, (token, is_learned) in
                  enumerate(zip(ids, learned, strict=True)))  # fmt: skip
        return [
            {"text": self._tokenizer.decode([token for *_, token in group]), "learned": is_learned, "cut": is_cut}
            for (is_learned, is_cut), group in itertools.groupby(tagged, key=lambda item: item[:2])
        ]
