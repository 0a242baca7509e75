"""Finished exports without a model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from codex_tui.export.records import ExportRecord, FileRecord, StepRecord
from training.contract.run_directory import RunDirectory

PROOF: dict[str, Any] = {
    "version": 1, "created": 1.0, "run": "waves-1", "of": "bfloat16", "source": "held-out", "max_new_tokens": 64,
    "questions": 30, "as_trained": 30, "same_prompts": 30, "ended": {"run": 30, "exported": 30}, "identical": 29,
    "chrf": {"run": 80.0, "exported": 79.0}, "loss": {"run": 1.0, "exported": 1.02}, "problems": [],
    "headline": "29 of 30 answers identical at bfloat16, loss per token +0.02",
}  # fmt: skip


def write_export(
    run: RunDirectory, kind: str, files: dict[str, bytes], proof: dict[str, Any] = PROOF, adapter: bytes = b""
) -> Path:
    """An export as a finished `codex-tui export` leaves it, and a file of the person. `adapter` are the weights."""
    folder = run.exports / kind
    folder.mkdir(parents=True)
    records = {}
    for name, content in {**files, "proof.json": b"{}", "README.md": b"card", "notes.txt": b"mine"}.items():
        (folder / name).write_bytes(content)
        mtime_ns = (folder / name).stat().st_mtime_ns
        records[name] = FileRecord(len(content), mtime_ns, hashlib.sha256(content).hexdigest())
    made = {"made": {"base weights": "the 4-bit weights", "number type of the merge": "bfloat16"}}
    steps = {
        "merge": StepRecord(key="1", files={name: records[name] for name in files}),
        "proof": StepRecord(key="2", files={"proof.json": records["proof.json"]}, facts=proof),
        "card": StepRecord(key="3", files={"README.md": records["README.md"]}, facts=made),
    }
    sha256 = hashlib.sha256(adapter).hexdigest() if adapter else ""
    ExportRecord(run=run.name, to=kind, adapter=sha256, steps=steps).write(folder)
    return folder
