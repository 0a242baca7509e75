"""Names the file of an adapter that is damaged or gone, where a library only says that loading failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.contract import files
from training.contract.checkpoints import ADAPTER, adapter_is_whole
from training.contract.failures import TrainingFailure
from training.contract.run_directory import ADAPTER_CONFIG, RunDirectory


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
        json.loads(files.read(folder / ADAPTER_CONFIG))
    except (OSError, ValueError, RecursionError):
        return folder / ADAPTER_CONFIG
    return None
