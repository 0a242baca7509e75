"""Fetches what a run has left on a remote: its adapter and its judgements. Checkpoints stay there.

A folder gets its name here when all of its files have the checksums of those over there.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from codex_tui.base.errors import CodexError
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.engines.ssh import frames
from codex_tui.engines.ssh.link.connection import Connection
from training.contract.files import open_file
from training.contract.run_directory import RunDirectory

Listing = dict[str, tuple[int, str]]
"""The size and the checksum of each file of a folder, by its path in the folder."""

LIST_SECONDS = 120.0  # to read large files over there


def list_results(
    connection: Connection, root: str, identity: Mapping[str, object], report: OnProgress
) -> dict[str, Listing]:
    """List the folders over there that have files. `identity` is what `mirror.identify` returns."""
    folders, step = ["adapter", "judgements"], Progress(f"looking for results on {connection.name}")
    report(step)
    for frame in frames.ask(connection, root, "list_results", LIST_SECONDS, folders=folders, **identity):
        report(step)  # the far end gives a sign of life while it reads large files
        if frame.kind == "listing":
            listed = msgspec.json.decode(frame.data, type=dict[str, Listing])
            return {name: files for name, files in listed.items() if name in folders and files}
    return {}


def fetch_results(
    connection: Connection,
    place: str,
    run: RunDirectory,
    results: Mapping[str, Listing],
    report: OnProgress,
) -> bool:
    """Fetch the folders in `results` that differ here, from the run's folder `place` over there. Returns whether one
    did. A judgement that was made here stays. Raises CodexError, also if a file changes meanwhile, and OSError."""
    fetched = False
    for name, files in results.items():
        folder = run.path / name
        if hash_files(folder) == files or (name == "judgements" and folder.exists()):
            continue
        _fetch_folder(connection, f"{place}/{name}", folder, files, report)
        fetched = True
    return fetched


def _fetch_folder(connection: Connection, there: str, folder: Path, files: Listing, report: OnProgress) -> None:
    """Fetch the folder `there`, which has `files`, in the place of `folder`. After a kill, the next fetch does it."""
    for unfinished in folder.parent.glob(f".{folder.name}.*"):  # of a process that was killed
        shutil.rmtree(unfinished, ignore_errors=True)

    def check(copy: Path) -> None:
        if hash_files(copy) != files:
            raise CodexError(f"{there} changed on {connection.host} while it was fetched.", "Try it again.")

    connection.fetch(there, folder, report, sum(size for size, _ in files.values()), check)


def hash_files(folder: Path) -> Listing:
    """List the regular files below `folder`."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): _hash(path) for path in paths}


def _hash(path: Path) -> tuple[int, str]:
    with open_file(path) as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()
