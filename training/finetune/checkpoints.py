"""Puts checkpoints in place: written aside and renamed, so that each is whole or not there."""

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
    found_in,
    is_whole,
    judged,
    last_whole,
    step_of,
    sums,
)

__all__ = ["PREFIX", "UNFINISHED", "found_in", "is_whole", "last_whole", "step_of"]  # and what is below

OLD = ".old-"


def publish(checkpoint: Path, home: Path) -> None:
    """Moves a written checkpoint into `home`, with its checksums, when all of it is on the disk: a reader finds it
    whole, or not at all."""
    (checkpoint / CHECKSUMS).write_text(json.dumps(sums(checkpoint), indent=2) + "\n", encoding="utf-8")
    flush(checkpoint)
    target = home / checkpoint.name
    if target.exists():  # of an attempt that was stopped at the very same step
        set_aside(target)
    checkpoint.rename(target)
    _flush(home)


def find_best_step(log_history: list[dict[str, Any]]) -> int | None:
    """The step of the lowest evaluation loss, the first of equals; None before there is any. `log_history` is that of
    `transformers.TrainerState`."""
    found = [(entry["eval_loss"], entry["step"]) for entry in log_history
             if math.isfinite(entry.get("eval_loss", math.nan))]  # fmt: skip
    return min(found)[1] if found else None


class SetAside(NamedTuple):
    """A checkpoint that was damaged in `file`, and is called `name` now."""

    step: int
    file: str
    name: str


def set_aside_broken(folder: Path) -> list[SetAside]:
    """Renames what is damaged, so that it doesn't take a whole one's place in the rotation; what stays is whole.

    Nothing is deleted: what a person may want to look at stays, as `broken-checkpoint-N`.
    """
    return [
        SetAside(step_of(path), damaged, set_aside(path, "broken").name) for path, damaged in judged(folder) if damaged
    ]


def set_aside(checkpoint: Path, why: str = "earlier") -> Path:
    """Renames `checkpoint` to `WHY-checkpoint-N`, or `WHY-checkpoint-N.2` and so on where there is one already."""
    target, number = checkpoint.with_name(f"{why}-{checkpoint.name}"), 1
    while target.exists():
        number += 1
        target = checkpoint.with_name(f"{why}-{checkpoint.name}.{number}")
    return checkpoint.rename(target)


def rotate(home: Path, limit: int | None, keep: str = "") -> bool:
    """Deletes the oldest checkpoints beyond `limit`, but never the newest nor the one called `keep`; whether there was
    one. Each is renamed first: a kill in the middle leaves none half there, and the next time takes the rest."""
    found = found_in(home)
    old = [path for path in found[:-1] if path.name != keep]
    surplus = old[: max(0, len(found) - limit) if limit else 0]
    for path in surplus:
        path.rename(home / f"{OLD}{path.name}")
    for path in home.glob(f"{OLD}*"):
        shutil.rmtree(path, ignore_errors=True)
    return bool(surplus)


def flush(folder: Path) -> None:
    """Returns when all of `folder` is on the disk."""
    for path in folder.rglob("*"):
        _flush(path)
    _flush(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
