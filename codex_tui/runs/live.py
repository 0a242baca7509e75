"""Finds the run that trains now, and the run that the app opens on.

Every start of the app waits for this, so the module imports little and looks once at the folder of each run. A file in
the cache folder keeps which trainers were found dead. It is used for a run only while the run's folder is the same to
the kernel, because a trainer that starts puts a new process.json into it. So a missing, damaged or old file costs time
and changes nothing.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from codex_tui.base import locations
from codex_tui.base.checked_file import read_checked, write_checked
from codex_tui.base.errors import CodexError
from codex_tui.runs.library import is_run, list_folder, read_created, stat_file
from training.contract.run_directory import RunDirectory

FORMAT = "dead trainers 1"
"""Increase the number when a field of `_Look` changes."""
MIN_AGE_SECONDS = 2.0
"""A folder that changed this recently may change again without a new time, because the kernel's clock ticks slowly."""


class _Look(msgspec.Struct, array_like=True, frozen=True):
    """One run as it was seen. `folder` is the inode of its folder and the times of the last changes. `written` is when
    the trainer last wrote. Times are in nanoseconds. `settled`: it has ended, and no person needs to look at it."""

    folder: tuple[int, int, int]
    written: int
    settled: bool = False


class _Content(msgspec.Struct, array_like=True):
    format: str
    runs_home: str
    looks: dict[str, _Look]  # by the run's name


def find_live_run() -> RunDirectory | None:
    """Find the newest run that is training now on this machine. A run that is held has no trainer, and leaves the card
    to others.

    Returns None if there is none, or if the runs can't be read.
    """
    cache = _DeadTrainers(locations.runs_home())
    training = _look_at_runs(cache).training
    cache.save()
    return next((run for run in training if run.read_engine() is None and not run.find_host()), None)


def find_run_to_open() -> RunDirectory | None:
    """Find the run that the app shows at its start: the one that trains, else the one that is held, else the last one
    if it needs a person.

    The last run needs one if it was lost or failed, and if no screen has shown yet how it ended.
    """
    cache = _DeadTrainers(locations.runs_home())
    runs = _look_at_runs(cache)
    run = next(iter([*runs.training, *runs.held]), None) or _find_unsettled(cache, runs.looks)
    cache.save()
    return run


def _find_unsettled(cache: _DeadTrainers, looks: dict[str, _Look]) -> RunDirectory | None:
    """Find the run that was written last, if a person needs to look at it."""
    name = max(looks, key=lambda name: looks[name].written, default=None)
    if name is None:
        return None
    run, look = RunDirectory(cache.home / name), looks[name]
    if look.settled and _find_last_write(str(run.path)) == look.written:
        return None
    from codex_tui.runs.announced import has_seen_end
    from codex_tui.runs.follower import snapshot  # slow to import, and seldom needed
    from codex_tui.runs.watched import ENDED

    status = snapshot(run).status
    if status in ("lost", "failed") or (status in ENDED and not has_seen_end(run)):
        return run
    if status in ENDED:
        cache.settle(name)
    return None


class _Runs(NamedTuple):
    """All runs, those that train, and those that only a keeper or an engine holds. The newest come first."""

    looks: dict[str, _Look]
    training: list[RunDirectory]
    held: list[RunDirectory]


def _look_at_runs(cache: _DeadTrainers) -> _Runs:
    """Look at each run with as few calls of the kernel as possible."""
    home, looks = str(cache.home), dict[str, _Look]()
    training, held = list[str](), list[str]()
    with suppress(CodexError):
        for name in list_folder():
            directory = f"{home}/{name}"
            try:
                status = os.stat(directory)  # noqa: PTH116  half the time of Path.stat
            except OSError:
                continue
            folder = status.st_ino, status.st_mtime_ns, status.st_ctime_ns
            if look := cache.find(name, folder):
                looks[name] = look
            elif is_run(directory):
                looks[name] = look = _Look(folder, _find_last_write(directory))
                run = RunDirectory(directory)
                if run.is_trainer_alive():
                    training.append(name)
                elif run.is_kept():
                    held.append(name)
                else:
                    cache.add(name, look)
    return _Runs(looks, _sort_newest(cache.home, training), _sort_newest(cache.home, held))


def _sort_newest(home: Path, names: list[str]) -> list[RunDirectory]:
    newest = sorted(names, key=lambda name: (read_created(f"{home}/{name}"), name), reverse=True)
    return [RunDirectory(home / name) for name in newest]


def _find_last_write(directory: str) -> int:
    """Return when the trainer of a run last wrote, in nanoseconds. Without its files: when the run was created."""
    seen = (stat_file(f"{directory}/{name}") for name in ("process.json", "events.jsonl"))
    return max((status.st_mtime_ns for status in seen if status), default=round(read_created(directory) * 1e9))


class _DeadTrainers:
    """The runs in `home` whose trainer was found dead. No other process can be mistaken for it later."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._path = locations.cache_home() / "dead-trainers"
        self._known = self._load()
        self._found: dict[str, _Look] = {}  # of the runs that are there now
        self._began = time.time()

    def find(self, name: str, folder: tuple[int, int, int]) -> _Look | None:
        """Return the run called `name` as it was seen before, or None if its folder has changed since."""
        look = self._known.get(name)
        if look is None or look.folder != folder:
            return None
        self._found[name] = look
        return look

    def add(self, name: str, look: _Look) -> None:
        """Keep that the trainer of this run is dead, unless its folder has just changed."""
        if look.folder[2] / 1e9 < self._began - MIN_AGE_SECONDS:
            self._found[name] = look

    def settle(self, name: str) -> None:
        """Keep that no person needs to look at this run, if it is kept at all."""
        if look := self._found.get(name):
            self._found[name] = msgspec.structs.replace(look, settled=True)

    def save(self) -> None:
        """Write what is known. Does nothing if nothing has changed, if there is no run (the folder may be unreadable
        just now), or if the cache can't be written."""
        if not self._found or self._found == self._known:
            return
        with suppress(OSError, UnicodeEncodeError):  # a name that is not UTF-8 can't be kept
            write_checked(self._path, _Content(FORMAT, str(self.home), self._found))

    def _load(self) -> dict[str, _Look]:
        content = read_checked(self._path, _Content)
        if content is None or (content.format, content.runs_home) != (FORMAT, str(self.home)):
            return {}
        return content.looks
