"""Lists runs, newest first, and finds one by its name, by the start of its name, or as "last"."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from typing import NamedTuple

from codex_tui.base import locations
from codex_tui.base.close_match import suggest
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.runs.announced import has_seen_end
from codex_tui.runs.summary import RunSummary, read_created, summarise
from codex_tui.runs.summary_cache import SummaryCache
from codex_tui.runs.watched import ENDED
from training.contract.run_directory import RunDirectory

_FILES_OF_A_RUN = ("config.json", "process.json", "events.jsonl")


def list_run_directories() -> list[RunDirectory]:
    """List all run directories, newest first. Raises CodexError if they can't be read."""
    home = locations.runs_home()
    return [RunDirectory(home / name) for name in list_names()]


def list_names() -> list[str]:
    """List the names of all runs, newest first. Raises CodexError if they can't be read."""
    home = str(locations.runs_home())
    names = [name for name in _list_folder() if _is_run(f"{home}/{name}")]
    return sorted(names, key=lambda name: (read_created(f"{home}/{name}"), name), reverse=True)


def is_run(run: RunDirectory) -> bool:
    """Whether the folder has a file of a run. A folder without config.json counts too, because it may be training."""
    return _is_run(str(run.path))


def list_runs() -> list[RunSummary]:
    """List the summaries of all runs, newest first. Raises CodexError if the runs can't be read."""
    return list(summarise_runs(list_names()))


def summarise_runs(names: list[str]) -> Iterator[RunSummary]:
    """Yield the summary of each run in `names`, which are all runs. An ended run that has not changed is not read."""
    home = locations.runs_home()
    cache = SummaryCache(home)
    try:
        for name in names:
            if (summary := cache.find(name)) is None:
                run, began = RunDirectory(home / name), time.time()
                summary = summarise(run)
                cache.add(run, summary, began)
            yield summary
    finally:
        cache.save(names)


def find_run(text: str) -> RunDirectory:
    """Find the run named `text`, or the only one whose name begins so. Raises BadInput if none or several match."""
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
        raise BadInput(f"Several runs begin with {text!r}.", f"Choose one: {', '.join(sorted(names)[:8])}")
    raise _no_such_run(text)


def find_exact_run(name: str) -> RunDirectory:
    """Find the run whose whole name is `name`, for a change that can't be undone. Raises BadInput if there is none."""
    names = _list_matches(name)
    if name in names:
        return RunDirectory(locations.runs_home() / name)
    if names:
        raise BadInput(f"No run is called {name!r}.", f"Write the whole name: {', '.join(sorted(names)[:8])}")
    raise _no_such_run(name)


def _list_matches(start: str) -> list[str]:
    """List the names of the runs that begin with `start`; none if it is empty."""
    home = str(locations.runs_home())
    return [name for name in _list_folder() if start and name.startswith(start) and _is_run(f"{home}/{name}")]


def _no_such_run(name: str) -> BadInput:
    names = list_names()
    if not names:
        return _no_runs()
    return BadInput(f"No run is called {name!r}.", suggest(name, names) or "List them with: codex-tui runs")


def _no_runs() -> BadInput:
    return BadInput("There are no runs yet.", "Start one with: codex-tui demo")


def find_live_run() -> RunDirectory | None:
    """Find the newest run that is training now. Returns None if there is none, or if the runs can't be read."""
    return _find_newest_live(_look_at_files())


def find_run_to_open() -> RunDirectory | None:
    """Find the run that the app shows at its start: the one that trains, else the last one if it needs a person.

    The last run needs one if it was lost or failed, and if no screen has shown yet how it ended.
    """
    from codex_tui.runs.follower import snapshot  # slow to import, and not needed for a start without runs

    looks = _look_at_files()
    if live := _find_newest_live(looks):
        return live
    last = max(looks, key=lambda look: look.written, default=None)
    if last is None:
        return None
    run = RunDirectory(locations.runs_home() / last.name)
    status = snapshot(run).status
    return run if status in ("lost", "failed") or (status in ENDED and not has_seen_end(run)) else None


class _Look(NamedTuple):
    """The files of one run at one time. `written` is when the trainer last wrote, in nanoseconds."""

    name: str
    process: os.stat_result | None
    written: int


def _look_at_files() -> list[_Look]:
    """Look at each run with as few calls of the kernel as possible. Returns [] if the runs can't be read."""
    home = str(locations.runs_home())
    looks = []
    try:
        names = _list_folder()
    except CodexError:
        return []
    for name in names:
        directory = f"{home}/{name}"
        process, events = _stat_file(f"{directory}/process.json"), _stat_file(f"{directory}/events.jsonl")
        if process or events:
            looks.append(_Look(name, process, max(status.st_mtime_ns for status in (process, events) if status)))
        elif _is_run(directory):
            looks.append(_Look(name, None, round(read_created(directory) * 1e9)))
    return looks


def _find_newest_live(looks: list[_Look]) -> RunDirectory | None:
    """Find the newest run that is training. A process that was found dead and whose process.json is the same is not
    looked for again."""
    if not looks:  # the folder may be unreadable just now, so the cache is not cleared
        return None
    home = locations.runs_home()
    cache = SummaryCache(home)
    live = []
    for look in looks:
        if look.process and not cache.is_known_dead(look.name, look.process):
            run = RunDirectory(home / look.name)
            if run.is_trainer_alive():
                live.append(look.name)
            else:
                cache.add_dead(look.name, look.process)
    cache.save([look.name for look in looks])
    newest = max(live, key=lambda name: (read_created(f"{home}/{name}"), name), default=None)
    return RunDirectory(home / newest) if newest else None


def _list_folder() -> list[str]:
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


def _is_run(directory: str) -> bool:
    return any(_stat_file(f"{directory}/{file}") for file in _FILES_OF_A_RUN)


def _stat_file(path: str) -> os.stat_result | None:
    """Return what the kernel says about a regular file, or None if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116  half the time of Path.stat
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None
