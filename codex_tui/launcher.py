"""Starts and resumes runs. An engine runs them; see `codex_tui.engines`."""

from __future__ import annotations

import os
import shutil
import time
from itertools import count
from pathlib import Path

from codex_tui import __version__
from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.progress import OnProgress, ignore_progress
from codex_tui.base.text import clean
from codex_tui.data import sources
from codex_tui.engines.engine import Start
from codex_tui.engines.handover import set_request_aside
from codex_tui.engines.refresh import refresh
from codex_tui.engines.registry import find_engine, get_engine
from codex_tui.environment import build
from codex_tui.environment.trackers import require_trackers
from codex_tui.launch_plan import LaunchPlan
from codex_tui.runs.changes import clean_name, hold, name_taken
from codex_tui.runs.deadline import change_deadline
from codex_tui.runs.facts import suggest_chat
from codex_tui.runs.follower import snapshot
from codex_tui.runs.outcome import explain_config_error
from codex_tui.runs.resume_point import ResumePoint
from codex_tui.workers.process import find_python_for
from training.contract.card_queue import NOW
from training.contract.config import ConfigError, RunConfig
from training.contract.control import Request
from training.contract.files import write_atomically
from training.contract.model_path import resolve_model_paths
from training.contract.run_directory import RunDirectory
from training.dataset.source import DEMO_BOOK


def launch(
    plan: LaunchPlan, python: Path | None = None, *, wait: bool = False, report: OnProgress = ignore_progress
) -> RunDirectory:
    """Start the fine-tune that `plan` describes and return its run directory, for a run of this machine at once.
    `python` is the interpreter that `build.ensure` returned, if the caller has called it. With `wait`, the run is
    queued if other runs have its card. `report` gets the progress of an engine that first sends files.

    Raises EnvironmentMissing where there is nothing to train with, BadInput where the run's name was taken meanwhile
    or the rows turn out to be bad, CodexError where the run directory can't be made or the engine can't start the run.
    """
    if plan.good_rows is None and plan.profile.launch.shares_folder:
        sources.check_rows(plan.source, plan.profile.dataset)
    engine = get_engine(plan.profile.launch.engine)
    interpreter = (python or build.find_python()) if plan.profile.launch.shares_folder else None
    if interpreter:
        require_trackers(interpreter, plan.profile.tracking.to)
    resolved = plan.profile.model_dump(mode="json")
    folder = plan.profile_file.parent
    resolved["model"] = resolve_model_paths(resolved["model"], folder)
    if (book := plan.profile.evaluation.book) and book != DEMO_BOOK:
        resolved["evaluation"]["book"] = str((folder / locations.expand_home(book)).resolve())
    homes = (str(locations.data_home()), str(locations.cache_home()))
    files = (plan.profile_file.name, plan.source.name, *map(str, plan.source.files))
    _require_utf8(*files, resolved["model"]["name"], book or "", str(interpreter or ""), *homes)
    run = _create(plan.name, plan.base_name)
    try:
        write_atomically(run.profile, plan.profile_bytes)
        if plan.book:
            write_atomically(run.book, plan.book.content)
        config = RunConfig(
            name=run.name,
            created=round(time.time(), 3),
            app_version=__version__,
            profile_name=plan.profile_file.stem,
            profile=resolved,
            overrides=dict(plan.overrides),
            until=plan.until,
            **sources.to_config_fields(plan.source),
            python=str(interpreter or ""),
            planned_tokens=plan.tokens,
            cache=str(locations.cache_home()),
            forecast_mib=round(plan.resources.memory.device_mib, 1) if plan.resources.memory else None,
        )
        config.write(run.config)
        engine.start(run, Start(1, plan.profile, interpreter, wait=wait, until=plan.until, report=report))
    except (OSError, CodexError):  # such as a full disk: half a run directory is no run
        if not run.engine.exists():  # else it may have begun there
            shutil.rmtree(run.path, ignore_errors=True)
        raise
    return run


def resume(
    run: RunDirectory,
    *,
    from_start: bool = False,
    until: float | None = None,
    wait: bool = False,
    report: OnProgress = ignore_progress,
) -> ResumePoint:
    """Resume a run in its directory, from its last whole checkpoint. Returns the checkpoint. `until` is another
    deadline, `math.inf` for none. With `wait`, the run is queued if other runs have its card. If the run's keeper holds
    it, the keeper starts the next attempt.

    Raises BadInput if the run is training or done already, if its config.json is damaged, or if its deadline is past.
    Raises NoWholeCheckpoint if all checkpoints are damaged and `from_start` is not set.
    """
    refresh(run)
    if run.is_kept() and (point := _bring_back(run, until, wait=wait)):
        return point
    _refuse_if_training(run)
    _refuse_if_done(run)
    try:
        profile = RunConfig.read_with_profile(run.config)[1]
    except ConfigError as error:
        raise explain_config_error(run, error) from None
    for path in (run.lock, run.log, run.events):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            problem = "a link, and nothing is written through it" if path.is_symlink() else "not a file"
            raise CodexError(f"{path} is {problem}.", f"Move it away, then: codex-tui resume {run.name}")
    engine = find_engine(run)
    interpreter = find_python_for(run) if engine.shares_folder else None
    with hold(run):
        _refuse_if_training(run)
        point = engine.find_resume_point(run, from_start=from_start)
        change_deadline(run, until, point.step)
        attempt = _count_attempts(run) + 1
        start = Start(attempt, profile, interpreter, wait, until, from_start, report)
        with set_request_aside(run):
            engine.start(run, start)
    return point


def can_bring_back(run: RunDirectory) -> bool:
    """Whether the keeper of `run` holds it, or parks it at its next step."""
    return run.is_kept() and (snapshot(run).held is not None or run.read_stop_request() == "park")


def check_resumable(run: RunDirectory) -> None:
    """Raise BadInput if `run` is training or done already."""
    refresh(run)
    if not can_bring_back(run):
        _refuse_if_training(run)
        _refuse_if_done(run)


def _bring_back(run: RunDirectory, until: float | None, *, wait: bool) -> ResumePoint | None:
    """Ask the keeper of `run` to start the next attempt. Returns None if the run trains. The run starts at once even
    where others have its cards, unless `wait` is set."""
    watched = snapshot(run)
    if watched.is_left_to_engine or (not watched.held and run.read_stop_request() != "park"):
        return None
    point = ResumePoint(watched.held.step if watched.held else watched.state.step)
    change_deadline(run, until, point.step)
    if not (wait and watched.status == "queued"):
        find_engine(run).ask(run, Request("resume", "" if wait else NOW))
    return point


def _refuse_if_training(run: RunDirectory) -> None:
    if not run.is_live():
        return
    watched = snapshot(run)
    state = {"unreachable": "may be training", "waiting": "waits already"}.get(watched.liveness, "is training already")
    reason = f" {clean(watched.reason)}" if watched.is_left_to_engine else ""
    raise BadInput(f"{run.name} {state}.{reason}", f"Watch it with: codex-tui attach {run.name}")


def _count_attempts(run: RunDirectory) -> int:
    """The number of the newest attempt, 0 if there was none."""
    return max((before.attempt for before in (run.read_process(), run.read_engine()) if before), default=0)


def _refuse_if_done(run: RunDirectory) -> None:
    if run.has_adapter() and snapshot(run).status == "done":
        raise BadInput(f"{run.name} is done: nothing is left to train.", suggest_chat(run))


def _require_utf8(*paths: str) -> None:
    """Raises BadInput for a path that is not UTF-8: config.json, events and the training libraries can't hold it."""
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise BadInput(f"The path {path} is not UTF-8.", "Rename it, or choose another.") from None


def propose_name(base: str) -> str:
    """Return the first free name of a run that begins with `base`, such as the profile's name.

    It reads the folder of the runs, which can be slow: call it in a thread.
    """
    base = clean_name(base)[:48]
    home = str(locations.runs_home())
    return next(name for number in count(1) if not os.path.lexists(f"{home}/{(name := f'{base}-{number}')}"))


def _create(name: str | None, base: str) -> RunDirectory:
    while True:
        run = RunDirectory(locations.runs_home() / (name or propose_name(base)))
        try:
            run.create()
            return run
        except OSError as error:
            if os.path.isdir(run.path):  # noqa: PTH112  Path.is_dir raises for a folder without permission
                if name is not None:
                    raise name_taken(name) from None
                continue  # another program has made it meanwhile
            raise CodexError(
                f"{run.path} can't be made: {error.strerror}.", "Set CODEX_TUI_HOME to a folder that you can write to."
            ) from error
