"""The adapter in plain PEFT layout: whoever reads it finds a whole one, the old or the new, or hears what is not."""

from __future__ import annotations

import ctypes
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.contract import files
from training.contract.checkpoints import ADAPTER, adapter_is_whole
from training.contract.failures import TrainingFailure, writing
from training.contract.run_directory import RunDirectory
from training.finetune import checkpoints

CONFIG = "adapter_config.json"
_UNFINISHED = ".adapter-"
RENAME_EXCHANGE = 2  # of renameat2(2)


def save(model: Any, tokenizer: Any, folder: Path, best: Path | None = None) -> None:
    """Puts the adapter and its tokenizer into `folder`, in place of what was there. `best` is a checkpoint whose
    adapter goes there instead of the model's."""
    for left in folder.parent.glob(f"{_UNFINISHED}*"):  # by a save that was killed
        shutil.rmtree(left)
    with writing(folder):
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_UNFINISHED))
        try:
            model.save_pretrained(temporary)
            tokenizer.save_pretrained(temporary)
            if best:
                for name in (ADAPTER, CONFIG):
                    shutil.copyfile(best / name, temporary / name)
            checkpoints.flush(temporary)
            if folder.exists():
                _exchange(temporary, folder)  # what was there is the temporary one now
            else:
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def loading(folder: Path | None, run: RunDirectory) -> Iterator[None]:
    """Whatever a library says within of an adapter in `folder` that is damaged or gone, that file is named."""
    try:
        yield
    except Exception as error:
        named = isinstance(error, TrainingFailure) and folder and folder.is_dir()
        if named or not folder or not (damaged := _damaged_file(folder)):
            raise
        resume = f"codex-tui resume {run.name}"
        raise TrainingFailure(
            "model_not_found",
            f"{damaged} is {'damaged' if damaged.exists() else 'gone'}.",
            f"Rename {folder}, and chat takes the last whole checkpoint; {resume} saves it anew."
            if folder == run.adapter
            else "Ask again: chat takes the last whole checkpoint.",
        ) from error


def _damaged_file(folder: Path) -> Path | None:
    if not adapter_is_whole(folder / ADAPTER):
        return folder / ADAPTER
    try:
        json.loads(files.read(folder / CONFIG))
    except (OSError, ValueError, RecursionError):
        return folder / CONFIG
    return None


def _exchange(one: Path, other: Path) -> None:
    """Swaps two folders in one step; in three where the file system or the C library can't."""
    here = -100  # AT_FDCWD
    try:
        swapped = ctypes.CDLL(None).renameat2(here, bytes(one), here, bytes(other), RENAME_EXCHANGE) == 0
    except AttributeError:
        swapped = False
    if not swapped:
        aside = one.with_name(f"{one.name}-old")
        other.rename(aside)
        one.rename(other)
        aside.rename(one)
