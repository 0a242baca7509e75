"""The steps of an export, and how they are run: merge, convert, quantise, Modelfile, proof.

This file is the interface between the kinds of exports. Each kind lists its steps (`codex_tui.export.exporting`). A
step writes into an empty folder beside the export. When it has finished, the files get their final names, and then
`export.json` gets a record. So a step that is cancelled or killed leaves no half file under a final name, and the next
export goes on after the last finished step.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.base.text import format_size
from codex_tui.export.records import (
    ExportRecord,
    StepRecord,
    check_folder,
    has_files,
    make_key,
    read_record,
    record_files,
)

WORK = ".work"
"""The folder, in that of the export, of the files that only later steps need. It is deleted at the end."""
PARTIAL = ".partial-"
"""How the name of a folder begins that a step is writing."""
LAST = "config.json"
"""Gets its final name last: without it no library takes the folder for a model."""

Facts = dict[str, Any]
Work = Callable[[Path, OnProgress], Awaitable[Facts]]
"""Writes the files of a step into an empty folder, and returns what to record about them (any values that JSON has).
Raises CodexError, OSError. When it is cancelled, it ends its processes first."""


@dataclass(frozen=True)
class Step:
    """One step. `depends_on` (any values that JSON has) decides the content of its files: the step is done again if it
    changes, or if that of a step in `needs` does. `bytes_needed` is the space that its files take, at least about so.

    An `intermediate` step writes files that only later steps need. It is left out if all of these are finished.
    """

    name: str
    depends_on: Any
    work: Work
    bytes_needed: int = 0
    needs: tuple[str, ...] = ()
    intermediate: bool = False

    def find_folder(self, out: Path) -> Path:
        """Return the folder of the step's files, in the export's folder `out`."""
        return out / WORK / self.name if self.intermediate else out


async def run_steps(
    out: Path, run: str, to: str, steps: Sequence[Step], report: OnProgress, *, adapter: str = ""
) -> ExportRecord:
    """Run the steps that are not finished, in their order, and return the record of all. `adapter` is the SHA-256 of
    the run's weights. Raises CodexError, OSError."""
    check_folder(out)
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _hold(out):
        _delete_leftovers(out)
        record = read_record(out) or ExportRecord(run=run, to=to)
        keys = _make_keys(steps)
        missing = await asyncio.to_thread(_find_missing, out, steps, record, keys)
        _check_disk(out, missing)
        record.run, record.to, record.adapter = run, to, adapter
        for number, step in enumerate(missing, 1):
            prefix = f"{number} of {len(missing)}: " if len(missing) > 1 else ""
            _check_disk(out, [step])
            await _run_step(out, step, keys[step.name], record, _add_prefix(report, prefix))
        shutil.rmtree(out / WORK, ignore_errors=True)
        finished = {step.name for step in steps if not step.intermediate}
        if finished != set(record.steps):
            record.steps = {name: record.steps[name] for name in record.steps if name in finished}
            record.write(out)
        return record


def _make_keys(steps: Sequence[Step]) -> dict[str, str]:
    keys: dict[str, str] = {}
    for step in steps:
        keys[step.name] = make_key(step.name, step.depends_on, *(keys[name] for name in step.needs))
    return keys


def _find_missing(out: Path, steps: Sequence[Step], record: ExportRecord, keys: dict[str, str]) -> list[Step]:
    """Find the steps to run, in their order."""
    missing: list[Step] = []
    for step in reversed(steps):
        finished = record.steps.get(step.name)
        is_wanted = not step.intermediate or any(step.name in later.needs for later in missing)
        is_done = finished and finished.key == keys[step.name] and has_files(step.find_folder(out), finished)
        if is_wanted and not is_done:
            missing.insert(0, step)
    return missing


async def _run_step(out: Path, step: Step, key: str, record: ExportRecord, report: OnProgress) -> None:
    folder = step.find_folder(out)
    partial = out / f"{PARTIAL}{step.name}"
    partial.mkdir(mode=0o700)
    cancelled = threading.Event()
    try:
        facts = await step.work(partial, report)
        names = sorted(path.relative_to(partial).as_posix() for path in partial.rglob("*") if path.is_file())
        written = await asyncio.to_thread(record_files, partial, names, report, cancelled)
        _take_back(folder, record, step.name, out)
        for name in sorted(names, key=lambda name: (name == LAST, name)):
            target = folder / name
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _flush(partial / name)
            (partial / name).replace(target)
        record.steps[step.name] = StepRecord(key=key, files=written, facts=facts)
        record.write(out)
    finally:
        cancelled.set()
        shutil.rmtree(partial, ignore_errors=True)


def _take_back(folder: Path, record: ExportRecord, name: str, out: Path) -> None:
    """Delete the files of an earlier export with the same step, so that never old and new files are together."""
    if before := record.steps.pop(name, None):
        record.write(out)
        for file in before.files:
            (folder / file).unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delete_leftovers(out: Path) -> None:
    """Delete what a killed export was writing."""
    for path in out.glob(f"{PARTIAL}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)


def _check_disk(out: Path, steps: Sequence[Step]) -> None:
    """Raise CodexError if `steps` need more space than is free."""
    needed, free = sum(step.bytes_needed for step in steps), shutil.disk_usage(out).free
    if needed <= free:
        return
    parts = ", ".join(f"{step.name} {format_size(step.bytes_needed)}" for step in steps if step.bytes_needed)
    raise CodexError(
        f"The export needs {format_size(needed)} in {out} ({parts}), and {format_size(free)} is free.",
        f"Free {format_size(needed - free)} there, or use a folder on another disk: --out FOLDER",
    )


def _add_prefix(report: OnProgress, prefix: str) -> OnProgress:
    def report_with_prefix(progress: Progress) -> None:
        report(replace(progress, step=f"{prefix}{progress.step}"))

    return report_with_prefix


@contextmanager
def _hold(out: Path) -> Iterator[None]:
    """Hold the lock of the folder `out`. Raises BadInput if another export has it. The kernel frees the lock when its
    owner dies."""
    descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadInput(f"Another export writes to {out}.", "Wait until it ends, or use --out FOLDER.") from None
        yield
    finally:
        os.close(descriptor)
