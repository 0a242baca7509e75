"""Names the damaged or missing file of an adapter. The libraries only say that loading failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.contract import files
from training.contract.checkpoints import ADAPTER, is_adapter_whole
from training.contract.failures import TrainingFailure
from training.contract.run_directory import ADAPTER_CONFIG, RunDirectory


@contextmanager
def name_damaged_file(folder: Path | None, run: RunDirectory) -> Iterator[None]:
    """If the block fails and a file of the adapter in `folder` is damaged or gone, raises an error that names it."""
    try:
        yield
    except Exception as error:
        explained = isinstance(error, TrainingFailure) and folder and folder.is_dir()
        if explained or not folder or not (damaged := _find_damaged_file(folder)):
            raise
        resume = f"codex-tui resume {run.name}"
        raise TrainingFailure(
            "model_not_found",
            f"{damaged} is {'damaged' if damaged.exists() else 'gone'}.",
            f"Rename {folder}, and chat takes the last whole checkpoint; {resume} saves it anew."
            if folder == run.adapter
            else "Ask again: chat takes the last whole checkpoint.",
        ) from error


def _find_damaged_file(folder: Path) -> Path | None:
    if not is_adapter_whole(folder / ADAPTER):
        return folder / ADAPTER
    try:
        json.loads(files.read(folder / ADAPTER_CONFIG))
    except (OSError, ValueError, RecursionError):
        return folder / ADAPTER_CONFIG
    return None
