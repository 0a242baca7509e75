"""Renames, annotates and deletes runs. A run that trains keeps its name and its files."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.runs import liveness
from codex_tui.runs.facts import MAX_NOTE, tidy_note
from codex_tui.runs.follower import snapshot
from codex_tui.runs.library import is_run
from codex_tui.runs.summary import measure_folder
from training.contract.files import write_atomically
from training.contract.run_directory import RunDirectory

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def clean_name(text: str) -> str:
    """Replace what can't be in a run's name, such as the blanks in the name of a profile."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "run"


def check_name(name: str | None) -> None:
    """Raises BadInput if a new run can't get this name. With None, the launcher chooses the name."""
    if name is None:
        return
    if not RUN_NAME.fullmatch(name) or name == "last":
        raise BadInput(
            f"{name!r} can't be a run's name.",
            "Letters, digits, dot, dash and underscore, the first a letter or digit; at most 64; not 'last'.",
        )
    if os.path.lexists(locations.runs_home() / name):
        raise name_taken(name)


def name_taken(name: str) -> BadInput:
    """The error to raise if a new run can't be called `name`, because a file or folder with that name exists."""
    run = RunDirectory(locations.runs_home() / name)
    if not is_run(str(run.path)):
        return BadInput(f"{run.path} is there already, and is no run.", "Choose another name, or move it away.")
    return BadInput(f"There is a run called {name} already.", f"Choose another name, or: codex-tui resume {name}")


@contextmanager
def hold(run: RunDirectory) -> Iterator[None]:
    """Hold the lock for starting, renaming and deleting a run. A second process waits until the first is finished.

    The kernel frees the lock when its owner dies. The trainer takes a lock of its own, since it can be started by hand.
    """
    descriptor = os.open(run.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def refuse_if_live(run: RunDirectory, *, allow_unreachable: bool = False) -> None:
    """Raises BadInput if `run` is training or just starting, or if it may be training on a machine that does not
    answer. `allow_unreachable` allows the last."""
    if run.read_engine():
        if run.is_live():
            _refuse_on_engine(run, allow_unreachable=allow_unreachable)
        return
    process = liveness.find_process(run)
    if process.lives:
        raise BadInput(f"{run.name} is training.", f"Stop it first: codex-tui stop {run.name}")
    if process.is_kept:
        raise BadInput(f"{run.name} is {snapshot(run).status}.", f"End it first: codex-tui stop {run.name}")


def _refuse_on_engine(run: RunDirectory, *, allow_unreachable: bool) -> None:
    watched = snapshot(run)
    if watched.status != "unreachable":
        raise BadInput(
            f"{run.name} is {watched.status}. {watched.reason}".strip(), f"End it first: codex-tui stop {run.name}"
        )
    if not allow_unreachable:
        raise BadInput(
            f"{run.name} may be training. {watched.reason}".strip(),
            f"Try it again later. If that machine is gone for good: codex-tui runs rm {run.name} --here",
        )


@contextmanager
def hold_ended(run: RunDirectory, *, allow_unreachable: bool = False) -> Iterator[None]:
    """Hold the lock of a run that is not training. Raises BadInput if it is, or if its folder is only a link.
    `allow_unreachable`: see `refuse_if_live`."""
    if run.path.is_symlink():
        raise BadInput(
            f"{run.path} is a link to another folder, which Codex TUI does not change.", "Change that folder by hand."
        )
    try:
        with hold(run):
            refuse_if_live(run, allow_unreachable=allow_unreachable)
            yield
    except FileNotFoundError as error:
        if run.path.is_dir():
            raise
        raise BadInput(f"{run.path} is gone.", "List the runs: codex-tui runs") from error


def rename_run(run: RunDirectory, name: str) -> RunDirectory:
    """Rename an ended run. Raises BadInput if the name is not possible or taken, or if the run is training."""
    check_name(name)
    with hold_ended(run):
        return RunDirectory(run.path.rename(run.path.with_name(name)))


def delete_run(run: RunDirectory, *, allow_unreachable: bool = False) -> int:
    """Delete an ended run with all its files. Returns the bytes that this freed. Links are deleted, not followed.
    `allow_unreachable`: see `refuse_if_live`."""
    with hold_ended(run, allow_unreachable=allow_unreachable):
        size = measure_folder(run.path)
        delete_folder(run.path)
        return size


def delete_folder(path: os.PathLike[str]) -> None:
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise CodexError(
            f"{error.filename or path} can't be deleted: {error.strerror}.",
            "What was deleted before it is gone. Delete the rest by hand, or try again.",
        ) from error


def write_note(run: RunDirectory, text: str) -> str:
    """Write the note of a run as one clean line, and return it. An empty text deletes the note."""
    note = tidy_note(text)
    if len(note) > MAX_NOTE:
        raise BadInput(f"The note has {len(note):,} characters.", f"A note has at most {MAX_NOTE}.")
    if note:
        write_atomically(run.note, note + "\n")
    else:
        run.note.unlink(missing_ok=True)
    return note
