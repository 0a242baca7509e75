"""Lists runs, newest first, and finds one by its name, by the start of its name, or as "last"."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from training.contract.run_directory import RunDirectory

_FILES_OF_A_RUN = ("config.json", "process.json", "events.jsonl")
MAX_NAMED = 8  # in an error about several runs


def list_run_directories() -> list[RunDirectory]:
    """List all run directories, newest first. Raises CodexError if they can't be read."""
    home = locations.runs_home()
    return [RunDirectory(home / name) for name in list_names()]


def list_names() -> list[str]:
    """List the names of all runs, newest first. Raises CodexError if they can't be read."""
    home = str(locations.runs_home())
    names = [name for name in list_folder() if is_run(f"{home}/{name}")]
    return sorted(names, key=lambda name: (read_created(f"{home}/{name}"), name), reverse=True)


def read_change_time() -> float:
    """Return when a run was last added, renamed or deleted; 0.0 if there is no run yet."""
    with suppress(OSError):
        return locations.runs_home().stat().st_mtime
    return 0.0


def list_engine_runs() -> list[RunDirectory]:
    """List the runs of which another engine than this machine may have more to say. Raises CodexError if the folder of
    the runs can't be read."""
    home = str(locations.runs_home())
    runs = [RunDirectory(f"{home}/{name}") for name in list_folder() if stat_file(f"{home}/{name}/engine.json")]
    return [run for run in runs if (record := run.read_engine()) and record.has_more]


def find_run(text: str, *, exact: bool = False) -> RunDirectory:
    """Find the run named `text`, or the only one whose name begins so unless `exact` is set. Raises BadInput if none or
    several match."""
    if exact:
        return find_exact_run(text)
    home = locations.runs_home()
    if text == "last":
        if names := list_names():
            return RunDirectory(home / names[0])
        raise _no_runs()
    names = _list_matches(text)
    if text in names:
        return RunDirectory(home / text)
    if len(names) == 1:
        return RunDirectory(home / names[0])
    if names:
        raise BadInput(f"Several runs begin with {text!r}.", f"Choose one: {_list_first(names)}")
    raise _no_such_run(text)


def _list_first(names: Sequence[str]) -> str:
    more = len(names) - MAX_NAMED
    return ", ".join(sorted(names)[:MAX_NAMED]) + (f" and {more} more: codex-tui runs" if more > 0 else "")


def find_exact_run(name: str) -> RunDirectory:
    """Find the run whose whole name is `name`, for a script or a change that can't be undone. Raises BadInput if
    there is none."""
    names = _list_matches(name)
    if name in names:
        return RunDirectory(locations.runs_home() / name)
    if names:
        raise BadInput(f"No run is called {name!r}.", f"Write the whole name: {_list_first(names)}")
    raise _no_such_run(name)


def _list_matches(start: str) -> list[str]:
    """List the names of the runs that begin with `start`; none if it is empty."""
    home = str(locations.runs_home())
    return [name for name in list_folder() if start and name.startswith(start) and is_run(f"{home}/{name}")]


def _no_such_run(name: str) -> BadInput:
    from codex_tui.base.close_match import suggest

    names = list_names()
    if not names:
        return _no_runs()
    return BadInput(f"No run is called {name!r}.", suggest(name, names) or "List them with: codex-tui runs")


def _no_runs() -> BadInput:
    return BadInput("There are no runs yet.", "Start one with: codex-tui demo")


def read_created(directory: str) -> float:
    """When the run was created, in Unix seconds. The profile is written only at that time, so its file time is used."""
    for path in (f"{directory}/profile.toml", directory):
        try:
            return os.stat(path).st_mtime  # noqa: PTH116  a list of thousands of runs makes no Path for each
        except OSError:
            continue
    return 0.0


def list_folder() -> list[str]:
    """List the names of everything in the folder of the runs. Raises CodexError if it can't be read."""
    home = locations.runs_home()
    try:
        return os.listdir(home)  # noqa: PTH208  a Path for each of thousands of runs would take longer than the rest
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CodexError(
            f"The runs in {home} can't be read: {error.strerror}.", "Set CODEX_TUI_HOME to use another folder."
        ) from None


def is_run(directory: str) -> bool:
    """Whether the folder has a file of a run. A folder without config.json counts too, because it may be training."""
    return any(stat_file(f"{directory}/{file}") for file in _FILES_OF_A_RUN)


def stat_file(path: str) -> os.stat_result | None:
    """Return what the kernel says about a regular file, or None if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116  half the time of Path.stat
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None
