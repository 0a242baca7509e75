"""The step that copies the adapter with its tokenizer."""

from __future__ import annotations

import asyncio
import shutil
from fnmatch import fnmatch
from pathlib import Path

from codex_tui.base.progress import OnProgress, Progress
from codex_tui.export.plan import ExportPlan
from codex_tui.export.steps import Facts, Step
from training.contract.checkpoints import ADAPTER
from training.contract.model_files import TOKENIZER_FILES
from training.contract.run_directory import ADAPTER_CONFIG

NAME = "adapter"


def make_step(plan: ExportPlan) -> Step:
    files = _list_files(plan.adapter)

    async def copy(folder: Path, report: OnProgress) -> Facts:
        report(Progress("copying the adapter"))
        await asyncio.to_thread(_copy, plan.adapter, files, folder)
        return {"base": plan.side.base_name}

    size = sum(path.stat().st_size for path in files)
    return Step(NAME, [plan.side.model.sha256], copy, bytes_needed=size)


def _list_files(adapter: Path) -> list[Path]:
    """List the files of adapter and tokenizer; a checkpoint has others, too."""
    patterns = (ADAPTER, ADAPTER_CONFIG, *TOKENIZER_FILES)
    found = [path for path in sorted([*adapter.glob("*"), *adapter.glob("*/*")]) if path.is_file()]
    return [
        path
        for path in found
        if not path.is_symlink() and any(fnmatch(path.relative_to(adapter).as_posix(), pattern) for pattern in patterns)
    ]


def _copy(adapter: Path, files: list[Path], folder: Path) -> None:
    for path in files:
        target = folder / path.relative_to(adapter)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, target)
