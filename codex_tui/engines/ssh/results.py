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
from codex_tui.base.progress import OnProgress, ignore_progress
from codex_tui.engines.ssh import frames
from codex_tui.engines.ssh.connection import Connection
from training.contract.files import open_file
from training.contract.run_directory import RunDirectory

Listing = dict[str, tuple[int, str]]
"""The size and the checksum of each file of a folder, by its path in the folder."""

LIST_SECONDS = 120.0  # to read large files over there
FETCHED = ".{}.fetched"  # the name of a folder until it is complete


def list_results(connection: Connection, root: str, identity: Mapping[str, object]) -> dict[str, Listing]:
    """List the folders over there that have files. `identity` tells the run; see `mirror.identify`."""
    folders = ["adapter", "judgements"]
    for frame in frames.ask(connection, root, "results", LIST_SECONDS, folders=folders, **identity):
        if frame.kind == "listing":
            listed = msgspec.json.decode(frame.data, type=dict[str, Listing])
            return {name: files for name, files in listed.items() if name in folders and files}
    return {}


def fetch_results(
    connection: Connection,
    place: str,
    run: RunDirectory,
    results: Mapping[str, Listing],
    report: OnProgress = ignore_progress,
) -> bool:
    """Fetch from the run's folder `place` over there what differs here. Returns whether something did. A judgement that
    was made here stays. Raises CodexError, also if a file changes meanwhile, and OSError."""
    fetched = False
    for name, files in results.items():
        folder = run.path / name
        if hash_files(folder) == files or (name == "judgements" and folder.exists()):
            continue
        fresh = run.path / FETCHED.format(name)
        for unfinished in run.path.glob(f".{fresh.name}.*"):  # of a process that was killed
            shutil.rmtree(unfinished, ignore_errors=True)
        total = sum(size for size, _ in files.values())
        connection.fetch(f"{place}/{name}", fresh, report, total)
        if hash_files(fresh) != files:
            shutil.rmtree(fresh)
            raise CodexError(f"{place}/{name} changed on {connection.host} while it was fetched.", "Try it again.")
        _replace(folder, fresh)
        fetched = True
    return fetched


def hash_files(folder: Path) -> Listing:
    """List the regular files below `folder`."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): _hash(path) for path in paths}


def _hash(path: Path) -> tuple[int, str]:
    with open_file(path) as file:
        digest = hashlib.file_digest(file, "sha256")
        return file.tell(), digest.hexdigest()


def _replace(folder: Path, fresh: Path) -> None:
    """Put `fresh` in the place of `folder`. After a kill in between, the next fetch does it."""
    old = fresh.with_name(f"{fresh.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
