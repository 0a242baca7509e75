"""Which checkpoints can be gone on from.

`transformers.Trainer` writes a checkpoint file by file, and a resume from one without its optimizer or random state
goes on silently wrong. So ours are written aside and renamed, and any folder counts only when it is whole.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

PREFIX = "checkpoint-"
UNFINISHED = ".unfinished"
"""The folder in which a checkpoint is written before it is one."""


def publish(checkpoint: Path, home: Path) -> None:
    """Moves a written checkpoint into `home`, when all of it is on the disk: a reader finds it whole, or not at all."""
    for path in checkpoint.rglob("*"):
        _flush(path)
    _flush(checkpoint)
    target = home / checkpoint.name
    if target.exists():  # of an attempt that was stopped at the very same step
        shutil.rmtree(target)
    checkpoint.rename(target)
    _flush(home)


def best_step(log_history: list[dict[str, Any]]) -> int | None:
    """The step of the lowest evaluation loss, the first of equals; None before there is any. `log_history` is that of
    `transformers.TrainerState`."""
    found = [(entry["eval_loss"], entry["step"]) for entry in log_history
             if math.isfinite(entry.get("eval_loss", math.nan))]  # fmt: skip
    return min(found)[1] if found else None


def last_whole(folder: Path) -> Path | None:
    """The newest whole checkpoint under `folder`, or None."""
    return next((path for path in reversed(_all(folder)) if is_whole(path)), None)


def set_aside_broken(folder: Path) -> None:
    """Renames what a crash left half written, so that it doesn't take a whole one's place in the rotation.

    Nothing is deleted: what a person may want to look at stays, as `broken-checkpoint-N`.
    """
    for path in _all(folder):
        if not is_whole(path):
            target = folder / f"broken-{path.name}"
            shutil.rmtree(target, ignore_errors=True)  # of an earlier attempt at the same step
            path.rename(target)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.removeprefix(PREFIX))


def is_whole(checkpoint: Path) -> bool:
    return (
        _state_is_whole(checkpoint)
        and _adapter_opens(checkpoint / "adapter_model.safetensors")
        and _zip_is_sound(checkpoint / "optimizer.pt")
        and _zip_is_sound(checkpoint / "rng_state.pth")
        and (checkpoint / "scheduler.pt").is_file()
    )


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _all(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [p for p in folder.iterdir() if p.name.startswith(PREFIX) and p.name[len(PREFIX) :].isdecimal()]
    return sorted(found, key=step_of)


def _state_is_whole(checkpoint: Path) -> bool:
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        return state["global_step"] == step_of(checkpoint)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _adapter_opens(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as tensors:
            return len(tensors.keys()) > 0
    except (OSError, SafetensorError):
        return False


def _zip_is_sound(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False
