"""The adapter in plain PEFT layout: whoever reads it finds a whole one, the old or the new, or hears what is not."""

from __future__ import annotations

import ctypes
import shutil
import tempfile
from pathlib import Path
from typing import Any

from training.contract.checkpoints import ADAPTER, CONFIG
from training.contract.failures import writing
from training.finetune import checkpoints

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
