"""Finds the checkpoints of a run that no one needs, and deletes them.

Needed are the checkpoint that a resume continues from, the one of the best evaluation, and the newest whole one of a
run without an adapter, because a chat loads it. If no checkpoint is whole and there is no adapter, all are kept.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from codex_tui.base.text import pluralize
from codex_tui.runs.changes import delete_folder, hold_ended
from codex_tui.runs.summary import RunSummary, measure_folder
from training.contract import checkpoints
from training.contract.run_directory import RunDirectory

LEFTOVERS = ("broken-checkpoint-", "earlier-checkpoint-", ".old-checkpoint-", checkpoints.UNFINISHED)
"""How the names of folders begin that the trainer set aside, or did not finish."""


class Unneeded(NamedTuple):
    """Folders that can be deleted, their size, and why others are kept: pairs of a step and a reason."""

    folders: tuple[Path, ...] = ()
    size: int = 0
    kept: tuple[tuple[int, str], ...] = ()

    def describe(self) -> str:
        """Name what goes and what stays: "checkpoint-100 and 2 more; keeps step 300 (a resume continues from it)"."""
        if not self.folders:
            return "no checkpoint that no one needs"
        names = ", ".join(path.name for path in self.folders[:4])
        more = f" and {len(self.folders) - 4} more" if self.folders[4:] else ""
        kept = ", ".join(f"step {step:,} ({reason})" for step, reason in self.kept)
        return f"{pluralize(len(self.folders), 'checkpoint')}: {names}{more}" + (f"; keeps {kept}" if kept else "")


def find_unneeded(run: RunDirectory, summary: RunSummary) -> Unneeded:
    """Find the checkpoints that no one needs. Reads whole checkpoints to find a whole one, which can take seconds."""
    if not summary.ended or run.checkpoints.is_symlink():
        return Unneeded()
    paths = checkpoints.list_checkpoints(run.checkpoints)
    if any(path.is_symlink() for path in paths):
        return Unneeded()
    kept: dict[Path, str] = {}
    has_adapter = run.has_adapter() and checkpoints.is_adapter_whole(run.adapter / checkpoints.ADAPTER)
    if summary.status != "done" or not has_adapter:
        last = checkpoints.find_last_whole(run.checkpoints)
        if last is None and not has_adapter:
            return Unneeded(kept=tuple((checkpoints.parse_step(path), "nothing else is left") for path in paths))
        if last is not None:
            kept[last] = "a chat loads it" if summary.status == "done" else "a resume continues from it"
    best = run.checkpoints / f"{checkpoints.PREFIX}{summary.best_eval_step}"
    if best in paths and not (has_adapter and summary.best_eval_step == summary.step):
        kept.setdefault(best, "the best evaluation")
    folders = [path for path in paths if path not in kept] + _list_leftovers(run)
    return Unneeded(
        tuple(folders),
        sum(map(measure_folder, folders)),
        tuple((checkpoints.parse_step(path), reason) for path, reason in kept.items()),
    )


def delete_unneeded(run: RunDirectory, summarise: Callable[[RunDirectory], RunSummary]) -> Unneeded:
    """Delete what `find_unneeded` finds now, while no one else can start the run. Returns what was deleted."""
    with hold_ended(run):
        unneeded = find_unneeded(run, summarise(run))
        for folder in unneeded.folders:
            delete_folder(folder)
        return unneeded


def _list_leftovers(run: RunDirectory) -> list[Path]:
    try:
        return sorted(
            path for path in run.checkpoints.iterdir()
            if path.name.startswith(LEFTOVERS) and path.is_dir() and not path.is_symlink()
        )  # fmt: skip
    except OSError:
        return []
