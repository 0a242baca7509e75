"""Suggests names of datasets: those of earlier runs, the data files of a folder, and the nearest name to a wrong one.

All functions read folders, which can be slow on a network disk: call them in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path

from codex_tui.base import locations
from codex_tui.base.errors import CodexError
from codex_tui.runs import library
from training.contract.config import ConfigError, RunConfig
from training.dataset.formats import is_data_file
from training.dataset.source import DEMO_DATASET

MAX_RUNS = 40  # the newest runs whose datasets are suggested
MAX_ENTRIES = 5000  # entries of one folder that are looked at
MAX_SUGGESTIONS = 50


def list_recent_datasets() -> list[str]:
    """List the datasets of the newest runs, the newest first, as far as they still exist. A path in the current folder
    is relative to it."""
    names: dict[str, None] = {}
    with suppress(CodexError):  # a folder of runs that can't be read suggests nothing
        for run in library.list_run_directories()[:MAX_RUNS]:
            try:
                config = RunConfig.read(run.config)
            except ConfigError:
                continue
            if config.dataset == DEMO_DATASET:
                continue
            name = config.dataset if config.hub else _shorten(config.dataset)
            if name and (config.hub or any(os.path.exists(file) for file in config.files or [])):  # noqa: PTH110
                names.setdefault(name.removeprefix("hf://"))
    return list(names)


def suggest_datasets(text: str, recent: Iterable[str]) -> list[str]:
    """List the names that a person who has typed `text` may mean: the entries of the folder that it names, and those of
    `recent` that contain it. Without a text, all of `recent` and the data files of the current folder."""
    names = complete_path(text)
    if text:
        names += [name for name in recent if text.lower() in name.lower()]
    else:
        names = [*recent, *(name for name in names if not name.endswith("/"))]
    return list(dict.fromkeys(names))[:MAX_SUGGESTIONS]


def complete_path(text: str) -> list[str]:
    """List the data files and folders whose paths begin with `text`, files first. A folder ends with "/"."""
    head, slash, start = text.rpartition("/")
    folder = locations.expand_home(head + slash) if slash else Path()
    names = sorted(
        name
        for name in _list_data_entries(folder)
        if name.lower().startswith(start.lower()) and (start or not name.startswith("."))
    )
    names.sort(key=lambda name: name.endswith("/"))
    return [f"{head}{slash}{name}" for name in names]


def complete_common(text: str, names: Iterable[str]) -> str:
    """Return the longest text with which all `names` that begin with `text` begin; `text` itself if none does."""
    matching = [name for name in names if name.lower().startswith(text.lower())]
    common = os.path.commonprefix(matching)  # noqa: RUF071  of characters, not of path parts
    return max(common, text, key=len)


def find_similar(name: str, base: Path = Path()) -> str:
    """Return an existing path whose last part is like that of `name`, which does not exist; "" if there is none.

    If a folder of `name` is missing, the folder is what is like it.
    """
    parts = Path(name).parts
    for count in range(len(parts)):
        part = parts[count]
        parent = Path(*parts[:count])
        folder = base / locations.expand_home(str(parent))
        if not os.path.exists(folder / part):  # noqa: PTH110  a name may be too long for pathlib
            entries = {entry.lower().rstrip("/"): entry for entry in _list_data_entries(folder)}
            longer = [entry for entry in entries if entry.startswith(part.lower())]
            matches = longer or get_close_matches(part.lower(), entries, n=1, cutoff=0.7)
            return str(parent / entries[matches[0]]) if matches else ""
    return ""


def _list_data_entries(folder: Path) -> Iterator[str]:
    """Yield the names of the data files, and of the folders with "/" at their end."""
    with suppress(OSError, ValueError), os.scandir(folder) as entries:
        for entry in islice(entries, MAX_ENTRIES):
            with suppress(OSError):
                if entry.is_dir():
                    yield f"{entry.name}/"
                elif is_data_file(entry.name):
                    yield entry.name


def _shorten(path: str) -> str:
    """Write a path in the current folder without it."""
    with suppress(ValueError, OSError):
        return str(Path(path).relative_to(Path.cwd()))
    return path
