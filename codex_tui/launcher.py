"""Starts, stops and resumes trainers: detached, in a session of their own, so that they outlive every viewer."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from codex_tui import __version__
from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.progress import OnProgress, ignore_progress
from codex_tui.data import sources
from codex_tui.environment import build
from codex_tui.machine.outlook import outlook
from codex_tui.profiles import library
from codex_tui.profiles.literals import format_literal
from codex_tui.runs.follower import snapshot
from codex_tui.runs.library import is_run
from codex_tui.runs.outcome import explain_config_error
from codex_tui.runs.resume_point import ResumePoint, find_resume_point
from codex_tui.workers.process import interpreter_of, trainer_environment
from training.contract.config import ConfigError, RunConfig
from training.contract.files import open_to_append, write_atomically
from training.contract.model_path import resolve_model_name
from training.contract.process import ProcessIdentity
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.dataset.source import Source

Asked = Literal["save", "terminate", "kill"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

# Held so that ended trainers are reaped and never linger as zombies of a long-lived app.
_children: list[subprocess.Popen[bytes]] = []


def launch(
    profile: Path,
    *,
    dataset: str | None = None,
    name: str | None = None,
    python: Path | None = None,
    overrides: Mapping[str, Any] = {},
    source: Source | None = None,
    report: OnProgress = ignore_progress,
) -> RunDirectory:
    """Starts a fine-tune of `profile` and returns its run directory at once. `overrides` are fields by dotted path;
    `source` is the dataset where its rows were checked before, else `report` hears how one of the Hub arrives.

    Raises BadInput (profile, dataset or name can't be used) or EnvironmentMissing (nothing to train with).
    """
    check_name(name)
    settings = library.require_profile(profile, overrides)
    if source is None:
        source = sources.find_profile_source(settings, profile, dataset, report)
        sources.check_rows(source, settings.dataset)
    check_memory(settings, profile, overrides)
    interpreter = build.find_python(python)
    resolved = settings.model_dump(mode="json")
    resolved["model"]["name"] = resolve_model_name(settings.model.name, profile.parent)
    homes = (str(locations.data_home()), str(locations.cache_home()))
    _require_utf8(
        profile.name, source.name, *map(str, source.files), resolved["model"]["name"], str(interpreter), *homes
    )
    run = _create(name, settings.launch.name or profile.stem)
    try:
        write_atomically(run.profile, profile.read_bytes())
        config = RunConfig(
            name=run.name,
            created=round(time.time(), 3),
            app_version=__version__,
            profile_name=profile.stem,
            profile=resolved,
            overrides=dict(overrides),
            **sources.to_config_fields(source),
            python=str(interpreter),
            cache=str(locations.cache_home()),
        )
        config.write(run.config)
    except OSError:  # a full disk: what is half there is no run
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    _start(run, interpreter, attempt=1)
    return run


def resume(run: RunDirectory, python: Path | None = None, *, from_start: bool = False) -> ResumePoint:
    """Goes on from the last whole checkpoint, in the same directory. Returns which one that is.

    Raises BadInput if it is training or done already, or if its config.json is damaged. Raises NoWholeCheckpoint if all
    checkpoints are damaged and `from_start` is not set.
    """
    _refuse_a_live(run)
    if run.has_adapter() and snapshot(run).status == "done":
        raise BadInput(f"{run.name} is done: nothing is left to train.", f"Chat with it: codex-tui chat {run.name}")
    try:
        RunConfig.read_with_profile(run.config)
    except ConfigError as error:
        raise explain_config_error(run, error) from None
    for path in (run.lock, run.log, run.events):
        if path.exists() and not path.is_file():
            raise CodexError(f"{path} is not a file.", f"Move it away, then: codex-tui resume {run.name}")
    interpreter = build.find_python(python) if python else interpreter_of(run)
    with _starting(run):
        point = find_resume_point(run, from_start=from_start)
        before = run.read_process()
        run.clear_stop()
        _start(run, interpreter, attempt=before.attempt + 1 if before else 1)
    return point


@contextmanager
def _starting(run: RunDirectory) -> Iterator[None]:
    """Of two that resume one run at once, the second waits until the first has said who trains, and is refused.

    The lock is the kernel's, so it dies with its owner. The trainer has another: it is started by hand, too.
    """
    descriptor = os.open(run.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        _refuse_a_live(run)
        yield
    finally:
        os.close(descriptor)


def _refuse_a_live(run: RunDirectory) -> None:
    if run.is_trainer_alive():
        raise BadInput(f"{run.name} is training already.", f"Watch it with: codex-tui attach {run.name}")


def stop(run: RunDirectory) -> Asked:
    """Asks the trainer to end: first with everything saved, the second time at once, the third time by SIGKILL.

    Returns what was asked. Raises BadInput where nothing is training.
    """
    identity = run.read_process()
    if identity is None or not identity.is_alive():
        raise BadInput(f"{run.name} is not training.", "See what there is with: codex-tui runs")
    asked_before = run.read_stop_request()
    try:
        if asked_before is None:
            run.request_stop("save")
            return "save"
        if asked_before == "save":
            run.request_stop("terminate")
            os.kill(identity.pid, signal.SIGTERM)
            return "terminate"
        os.kill(identity.pid, signal.SIGKILL)
        return "kill"
    except ProcessLookupError:  # it ended in between, which is what was wanted
        return "terminate"


def check_memory(profile: Profile, profile_file: Path, overrides: Mapping[str, Any] = {}) -> str:
    """One sentence where the forecast says that the run does not fit here, "" where it fits or nothing is known.

    Raises BadInput where launch.on_no_fit refuses it.
    """
    found = outlook(profile, profile_file)
    if found.forecast is None or found.forecast.verdict != "no":
        return ""
    needed, limit = found.forecast.device_mib, found.forecast.limit_mib or 0
    message = f"{profile_file.stem} is forecast to take {needed:,.0f} MiB of the card, and may take {limit:,.0f}."
    if profile.launch.on_no_fit == "refuse":
        sets = [part for field, value in overrides.items() for part in ("--set", f"{field}={format_literal(value)}")]
        command = shlex.join(["codex-tui", "forecast", library.format_profile_argument(profile_file), *sets])
        raise BadInput(message, f"See what would make it smaller: {command}")
    return message


def _require_utf8(*paths: str) -> None:
    """Config, events and the training libraries take text alone. Raises BadInput for names of other bytes."""
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise BadInput(f"The path {path} is not UTF-8.", "Rename it, or choose another.") from None


def check_name(name: str | None) -> None:
    """Raises BadInput where a new run can't be called `name`; None leaves the choice to the launcher."""
    if name is None:
        return
    if not NAME.fullmatch(name) or name == "last":
        raise BadInput(
            f"{name!r} can't be a run's name.",
            "Letters, digits, dot, dash and underscore, the first a letter or digit; at most 64; not 'last'.",
        )
    if (locations.runs_home() / name).exists():
        raise _taken(name)


def _taken(name: str) -> BadInput:
    run = RunDirectory(locations.runs_home() / name)
    if not is_run(run):
        return BadInput(f"{run.path} is there already, and is no run.", "Choose another name, or move it away.")
    return BadInput(f"There is a run called {name} already.", f"Choose another name, or: codex-tui resume {name}")


def _create(name: str | None, base: str) -> RunDirectory:
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", base).strip("-.")[:48] or "run"
    number = 1
    while True:
        run = RunDirectory(locations.runs_home() / (name or f"{base}-{number}"))
        try:
            run.create()
            return run
        except OSError as error:
            if os.path.isdir(run.path):  # noqa: PTH112  which takes what may not be looked at for missing
                if name is not None:
                    raise _taken(name) from None
                number += 1
                continue
            raise CodexError(
                f"{run.path} can't be made: {error.strerror}.", "CODEX_TUI_HOME names another place."
            ) from error


def _start(run: RunDirectory, python: Path, attempt: int) -> None:
    _children[:] = [child for child in _children if child.poll() is None]
    descriptor = open_to_append(run.log)
    try:
        if attempt > 1:
            with suppress(OSError):  # a full disk; the trainer says what it needs
                os.write(descriptor, f"\n── attempt {attempt} ──\n".encode())
        child = subprocess.Popen(
            [str(python), "-m", "training", str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=run.path,
            env=trainer_environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise CodexError(f"{python} can't be started: {error.strerror}.", "Run: codex-tui doctor") from error
    finally:
        os.close(descriptor)
    _children.append(child)
    # The trainer says the same of itself once Python is up; until then viewers would take it for lost. But where two
    # were started at once, the one that holds the run's lock may have spoken already.
    identity = ProcessIdentity.of(child.pid, attempt)
    if identity and not run.is_trainer_alive():
        try:
            run.write_process(identity)
        except OSError:  # a full disk: nobody is to train unseen
            child.kill()
            child.wait()
            raise
