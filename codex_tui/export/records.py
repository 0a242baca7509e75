"""What an export has finished: `export.json` in its folder. A step is finished if its record says so, never because a
file is there."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from codex_tui.base.errors import BadInput
from codex_tui.base.progress import OnProgress, Progress
from training.contract import files
from training.contract.event_base import Count

NAME = "export.json"
VERSION = 1
BLOCK_BYTES = 8 * 2**20


class FileRecord(msgspec.Struct):
    size: Count
    mtime_ns: int
    sha256: str


class StepRecord(msgspec.Struct):
    """A finished step. `key` stands for everything that decides its files. `facts` are what the step says about them,
    for the report."""

    key: str
    files: dict[str, FileRecord]
    facts: dict[str, Any] = {}


class ExportRecord(msgspec.Struct):
    """The finished steps of an export by their names, and the run whose model it is. `adapter` is the SHA-256 of its
    weights."""

    run: str
    to: str
    adapter: str = ""
    version: int = VERSION
    steps: dict[str, StepRecord] = {}

    def write(self, folder: Path) -> None:
        files.write_atomically(folder / NAME, json.dumps(msgspec.to_builtins(self), indent=2) + "\n")


def read_record(folder: Path) -> ExportRecord | None:
    """Read the record of the export in `folder`; None if there is none, or a damaged one."""
    try:
        record = msgspec.json.decode(files.read(folder / NAME), type=ExportRecord)
    except (OSError, ValueError, RecursionError):
        return None
    names = (name for step in record.steps.values() for name in step.files)
    return record if all(map(_is_inside, names)) else None


def _is_inside(name: str) -> bool:
    """Return whether `name` is a file below the folder. A record that was copied from anywhere could name others."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def make_key(*depends_on: Any) -> str:
    """Return the key of a step that depends on these values (any that JSON has)."""
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:32]


def check_folder(folder: Path) -> None:
    """Raise BadInput if `folder` has files that no export wrote: an export would mix its files with them."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a folder.", "Name another one: --out FOLDER")
    if not (folder / NAME).exists() and any(not path.name.startswith(".") for path in folder.iterdir()):
        raise BadInput(f"{folder} has files of something else.", "Name a new folder: --out FOLDER")


def has_files(folder: Path, record: StepRecord) -> bool:
    """Return whether the files of a finished step are in `folder`, unchanged. A file with another time is read."""
    return bool(record.files) and all(_is_same(folder / name, file) for name, file in record.files.items())


def _is_same(path: Path, record: FileRecord) -> bool:
    try:
        facts = path.stat()
        if path.is_symlink() or facts.st_size != record.size:
            return False
        return facts.st_mtime_ns == record.mtime_ns or hash_file(path) == record.sha256
    except OSError:
        return False


def hash_file(path: Path) -> str:
    with files.open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def record_files(
    folder: Path, names: Iterable[str], report: OnProgress, cancelled: threading.Event
) -> dict[str, FileRecord]:
    """Compute the checksums of files that are complete. Raises OSError."""
    paths = {name: folder / name for name in names}
    total, done = sum(path.stat().st_size for path in paths.values()), 0
    records = {}
    for name, path in paths.items():
        digest = hashlib.sha256()
        with files.open_file(path) as file:
            while (block := file.read(BLOCK_BYTES)) and not cancelled.is_set():
                digest.update(block)
                done += len(block)
                report(Progress("computing checksums", done, total))
        facts = path.stat()
        records[name] = FileRecord(size=facts.st_size, mtime_ns=facts.st_mtime_ns, sha256=digest.hexdigest())
    return records
