"""Keeps a run directory here equal to the one on a remote: events, logs and small files, as they change over there.

A growing file here is at every moment the beginning of the one over there, to the byte, whatever is killed or cut. It
continues at its size. If the file over there turns out to be another one, it is fetched anew and takes the old one's
place when it is whole.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from codex_tui.engines.ssh.far_end import OVERLAP, SMALL_FILES
from codex_tui.engines.ssh.frames import Frame
from training.contract import files
from training.contract.config import ConfigError, RunConfig
from training.contract.run_directory import RunDirectory

LOCK = "mirror.lock"
CONFIG_THERE = ".config.remote.json"  # config.json as it is over there, with the paths of that machine
GROWING_FILE = re.compile(r"events\.jsonl|trainer\.log|rank-[0-9]{1,4}\.log")
FROM_THERE = ("stack", "actual", "chat_template", "dataset_fingerprint", "row_form", "healed", "until")
"""The fields of config.json that change over there. The others may have paths of this machine."""


class Seen(NamedTuple):
    """The state of the run that the far end sent last. `folder` is "" if there is no such run over there."""

    live: bool
    folder: str


class Mirror:
    """Applies frames to one run. Only one process at a time does it; see `hold`."""

    def __init__(self, folder: int) -> None:
        self._descriptor = folder
        self._run = RunDirectory(f"/proc/self/fd/{folder}")  # which leads there, whoever renames it
        self._copies: dict[str, _Copy] = {}

    def make_request(self) -> dict[str, object]:
        """Return what the far end must know: the run, and which of its files are here already. Raises ConfigError."""
        names = (path.name for path in (self._run.path / ".").iterdir() if GROWING_FILE.fullmatch(path.name))
        return {
            **identify(self._run),
            "files": {name: _read_tail(self._run.path / name) for name in names},
            "hashes": {name: _hash(self._find_small(name)) for name in SMALL_FILES},
        }

    def apply(self, frames: Iterable[Frame], on_seen: Callable[[Seen], bool]) -> None:
        """Apply `frames`. After each look at the run over there, call `on_seen`; it returns whether to go on.

        Raises OSError if a file here can't be written. What is written until then is right.
        """
        try:
            for frame in frames:
                match frame.kind:
                    case "data" | "restart" if GROWING_FILE.fullmatch(frame.name):
                        self._grow(frame)
                    case "file" if frame.name in SMALL_FILES:
                        self._replace(frame)
                    case "missing":
                        on_seen(Seen(False, ""))
                        return
                    case "state":
                        if not on_seen(Seen(frame.live, frame.folder)):
                            return
        except FileNotFoundError:
            if RunDirectory.locate(self._descriptor):  # else the run was deleted here
                raise
        finally:
            for copy in self._copies.values():
                copy.close()
            self._copies.clear()

    def _grow(self, frame: Frame) -> None:
        copy = self._copies.get(frame.name)
        if copy is None or frame.kind == "restart":
            if copy:
                copy.close()
            copy = self._copies[frame.name] = _Copy(self._run.path / frame.name, anew=frame.kind == "restart")
        copy.append(frame)

    def _replace(self, frame: Frame) -> None:
        path = self._find_small(frame.name)
        if frame.gone:
            path.unlink(missing_ok=True)
            return
        files.write_atomically(path, frame.data, sync=False)
        if frame.name == "config.json":
            self._merge_config(path)

    def _merge_config(self, path: Path) -> None:
        with suppress(ConfigError):  # a damaged one over there changes nothing here
            remote, local = RunConfig.read(path), RunConfig.read(self._run.config)
            changed = msgspec.structs.replace(local, **{field: getattr(remote, field) for field in FROM_THERE})
            if changed != local:
                changed.write(self._run.config)

    def _find_small(self, name: str) -> Path:
        return self._run.path / (CONFIG_THERE if name == "config.json" else name)


class _Copy:
    """A growing file here. One that is fetched anew has a temporary name until it is whole."""

    def __init__(self, path: Path, *, anew: bool) -> None:
        self._path = path
        self._written_path = path.with_name(f".{path.name}{files.UNFINISHED}") if anew else path
        if anew:
            self._written_path.unlink(missing_ok=True)
        self._descriptor = files.open_to_append(self._written_path)

    def append(self, frame: Frame) -> None:
        data = memoryview(frame.data)
        if frame.kind == "data" and os.fstat(self._descriptor).st_size != frame.offset:
            raise OSError(errno.EBUSY, "another program writes to it", str(self._path))
        while data:
            with files.name_path_in_errors(self._path):
                data = data[os.write(self._descriptor, data) :]
        if frame.end and self._written_path != self._path:
            self._written_path.replace(self._path)
            self._written_path = self._path

    def close(self) -> None:
        os.close(self._descriptor)


def identify(run: RunDirectory) -> dict[str, object]:
    """Return the values of config.json by which the far end knows a run, whatever its folder is called. Raises
    ConfigError."""
    config = RunConfig.read(run.config)
    return {"name": config.name, "created": config.created}


@contextmanager
def hold(run: RunDirectory) -> Iterator[Mirror | None]:
    """Hold the lock for writing the mirror of `run`. Yields None if another process has it. Raises OSError."""
    folder = os.open(run.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        lock = files.open_to_append(run.path / LOCK)
        try:
            yield Mirror(folder) if _lock(lock) else None
        finally:
            os.close(lock)
    finally:
        os.close(folder)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_tail(path: Path) -> tuple[int, str]:
    """Return the size of a file, and the checksum of its last bytes."""
    try:
        with files.open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            length = min(size, OVERLAP)
            return size, hashlib.sha256(os.pread(file.fileno(), length, size - length)).hexdigest()
    except OSError:
        return 0, ""


def _hash(path: Path) -> str:
    try:
        return hashlib.sha256(files.read(path)).hexdigest()
    except OSError:
        return ""
