"""Writes the adapter in plain PEFT layout, in one step: a reader finds the old one or the new, never half of one."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any


def save(model: Any, tokenizer: Any, folder: Path) -> None:
    """Puts the adapter and its tokenizer into `folder`, in place of what was there."""
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".adapter-"))
    try:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        old = temporary.with_name(temporary.name + "-old")
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
