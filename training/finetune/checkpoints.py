"""Publishes, renames and deletes checkpoints. A folder called checkpoint-N is whole at any time, or is not there."""

from __future__ import annotations

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from training.contract.checkpoints import (
    CHECKSUMS,
    PREFIX,
    UNFINISHED,
    check_each,
    compute_checksums,
    find_last_whole,
    is_whole,
    list_checkpoints,
    parse_step,
)

__all__ = [
    "PREFIX",
    "UNFINISHED",
    "find_last_whole",
    "is_whole",
    "list_checkpoints",
    "parse_step",
]  # re-exported for the trainer

TO_DELETE = ".old-"


def publish(checkpoint: Path, home: Path) -> None:
    """Add checksums to a finished checkpoint, flush it to the disk, and move it into `home`."""
    (checkpoint / CHECKSUMS).write_text(json.dumps(compute_checksums(checkpoint), indent=2) + "\n", encoding="utf-8")
    flush(checkpoint)
    target = home / checkpoint.name
    if target.exists():  # an earlier attempt was stopped at the same step
        set_aside(target)
    checkpoint.rename(target)
    _flush(home)


def find_best_step(log_history: list[dict[str, Any]]) -> int | None:
    """Find the step with the lowest evaluation loss in the log history of `transformers.TrainerState`; the first of
    equal ones. Returns None before the first evaluation."""
    evaluations = [(entry["eval_loss"], entry["step"]) for entry in log_history
                   if math.isfinite(entry.get("eval_loss", math.nan))]  # fmt: skip
    return min(evaluations)[1] if evaluations else None


class SetAside(NamedTuple):
    """A damaged checkpoint: its step, its first damaged file, and its new name."""

    step: int
    file: str
    name: str


def set_aside_broken(folder: Path) -> list[SetAside]:
    """Rename every damaged checkpoint to `broken-checkpoint-N`, so that the rotation doesn't count it. Nothing is
    deleted, since someone may want to look at it. The checkpoints that keep their names are whole."""
    return [
        SetAside(parse_step(path), damaged, set_aside(path, "broken").name)
        for path, damaged in check_each(folder)
        if damaged
    ]


def set_aside(checkpoint: Path, why: str = "earlier") -> Path:
    """Rename `checkpoint` to `WHY-checkpoint-N`, or to `WHY-checkpoint-N.2` and so on if that name is taken."""
    target, number = checkpoint.with_name(f"{why}-{checkpoint.name}"), 1
    while target.exists():
        number += 1
        target = checkpoint.with_name(f"{why}-{checkpoint.name}.{number}")
    return checkpoint.rename(target)


def rotate(home: Path, limit: int | None, keep: str = "") -> bool:
    """Delete the oldest checkpoints beyond `limit`, but never the newest one nor the one called `keep`. Returns whether
    any was deleted.

    Each is renamed first. If the process is killed meanwhile, no half-deleted checkpoint keeps its name, and the next
    call deletes the rest.
    """
    existing = list_checkpoints(home)
    deletable = [path for path in existing[:-1] if path.name != keep]
    surplus = deletable[: max(0, len(existing) - limit) if limit else 0]
    for path in surplus:
        path.rename(home / f"{TO_DELETE}{path.name}")
    for path in home.glob(f"{TO_DELETE}*"):
        shutil.rmtree(path, ignore_errors=True)
    return bool(surplus)


def flush(folder: Path) -> None:
    """Wait until everything in `folder` is on the disk."""
    for path in folder.rglob("*"):
        _flush(path)
    _flush(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
