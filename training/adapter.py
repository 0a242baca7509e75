"""Writes the adapter in plain PEFT layout. Whoever reads it finds a whole one: the old, or the new."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from training import checkpoints

_UNFINISHED = ".adapter-"


def take(checkpoint: Path, folder: Path) -> None:
    """Puts the adapter of `checkpoint` in place of the one in `folder`, whose tokenizer stays."""
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        aside = folder / f".{name}"
        shutil.copyfile(checkpoint / name, aside)
        aside.replace(folder / name)


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Puts the adapter and its tokenizer into `folder`, in place of what was there."""
    for left in folder.parent.glob(f"{_UNFINISHED}*"):  # by a save that was killed
        shutil.rmtree(left)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_UNFINISHED))
    try:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        checkpoints.flush(temporary)
        old = temporary.with_name(temporary.name + "-old")
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
