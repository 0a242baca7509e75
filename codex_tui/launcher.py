"""Starts, stops and resumes trainers. Each runs in a session of its own, so that it outlives the app."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Literal

from codex_tui import __version__
from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.data import sources
from codex_tui.environment import build
from codex_tui.environment.trackers import require_trackers
from codex_tui.launch_plan import LaunchPlan
from codex_tui.runs.changes import clean_name, hold, name_taken
from codex_tui.runs.deadline import change_deadline
from codex_tui.runs.facts import suggest_chat
from codex_tui.runs.follower import snapshot
from codex_tui.runs.outcome import explain_config_error
from codex_tui.runs.queue import find_queue
from codex_tui.runs.resume_point import ResumePoint, find_resume_point
from codex_tui.runs.tell_command import make_tell_command
from codex_tui.workers.process import find_python_for, trainer_environment
from training.contract import card_queue, tell, trackers
from training.contract.card_queue import HasTicket, Lease
from training.contract.config import ConfigError, RunConfig
from training.contract.files import open_to_append, write_atomically
from training.contract.model_path import resolve_model_paths
from training.contract.process import ProcessIdentity
from training.contract.profile import Profile
from training.contract.run_directory import Request, RunDirectory
from training.dataset.source import DEMO_BOOK

StopRequest = Literal["save", "terminate", "kill", "end"]
"""What a stop came to. end: the run was held, so it ends at once and nothing is lost."""
PARK_REASON = "You lent the card."
TICKET_SECONDS = 2.0
"""A run whose keeper was killed may have a trainer that just starts. The kernel ends it, and frees the ticket then."""


# The app polls its trainers here, so that those that ended do not stay zombies while it runs.
_children: list[subprocess.Popen[bytes]] = []


def launch(plan: LaunchPlan, python: Path | None = None, *, wait: bool = False) -> RunDirectory:
    """Start the fine-tune that `plan` describes and return its run directory at once. `python` is the interpreter that
    `build.ensure` returned, if the caller has called it. With `wait`, the run is queued if other runs have its card.

    Raises EnvironmentMissing where there is nothing to train with, BadInput where the run's name was taken meanwhile
    or the rows turn out to be bad, CodexError where the run directory can't be made.
    """
    if plan.good_rows is None:
        sources.check_rows(plan.source, plan.profile.dataset)
    interpreter = python or build.find_python()
    require_trackers(interpreter, plan.profile.tracking.to)
    resolved = plan.profile.model_dump(mode="json")
    folder = plan.profile_file.parent
    resolved["model"] = resolve_model_paths(resolved["model"], folder)
    if (book := plan.profile.evaluation.book) and book != DEMO_BOOK:
        resolved["evaluation"]["book"] = str((folder / locations.expand_home(book)).resolve())
    homes = (str(locations.data_home()), str(locations.cache_home()))
    files = (plan.profile_file.name, plan.source.name, *map(str, plan.source.files))
    _require_utf8(*files, resolved["model"]["name"], book or "", str(interpreter), *homes)
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
            python=str(interpreter),
            planned_tokens=plan.tokens,
            cache=str(locations.cache_home()),
            forecast_mib=round(plan.resources.memory.device_mib, 1) if plan.resources.memory else None,
        )
        config.write(run.config)
        lease = _take_ticket(run, plan.profile, wait=wait)
    except (OSError, CodexError):  # a full disk: half a run directory is no run
        shutil.rmtree(run.path, ignore_errors=True)
        raise
    _start(run, interpreter, lease, attempt=1)
    return run


def resume(
    run: RunDirectory, *, from_start: bool = False, until: float | None = None, wait: bool = False
) -> ResumePoint:
    """Resume a run in its directory, from its last whole checkpoint. Returns the checkpoint. `until` is another
    deadline, `math.inf` for none. With `wait`, the run is queued if other runs have its card. If the run's keeper holds
    it, the keeper starts the next attempt.

    Raises BadInput if the run is training or done already, if its config.json is damaged, or if its deadline is past.
    Raises NoWholeCheckpoint if all checkpoints are damaged and `from_start` is not set.
    """
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
    interpreter = find_python_for(run)
    with hold(run):
        _refuse_if_training(run)
        point = find_resume_point(run, from_start=from_start)
        change_deadline(run, until, point.step)
        before = run.read_process()
        run.clear_stop()
        lease = _take_ticket(run, profile, wait=wait)
        _start(run, interpreter, lease, attempt=before.attempt + 1 if before else 1)
    return point


def can_bring_back(run: RunDirectory) -> bool:
    """Whether the keeper of `run` holds it, or parks it at its next step."""
    return run.is_kept() and (snapshot(run).held is not None or run.read_stop_request() == "park")


def check_resumable(run: RunDirectory) -> None:
    """Raise BadInput if `run` is training or done already."""
    if not can_bring_back(run):
        _refuse_if_training(run)
        _refuse_if_done(run)


def _bring_back(run: RunDirectory, until: float | None, *, wait: bool) -> ResumePoint | None:
    """Ask the keeper of `run` to start the next attempt. Returns None if the run trains. A run that waits for its turn
    starts at once, unless `wait` is set."""
    watched = snapshot(run)
    if not watched.held and run.read_stop_request() != "park":
        return None
    point = ResumePoint(watched.held.step if watched.held else watched.state.step)
    change_deadline(run, until, point.step)
    if not (wait and watched.status == "queued"):
        run.write_request(Request("resume"))
    return point


def park(run: RunDirectory, reason: str = PARK_REASON) -> None:
    """Ask the run to save, end its trainer, and wait until it is resumed. Does nothing if it is parked.

    Raises BadInput if nobody could resume it: it does not train, or it ends already, or its keeper is gone.
    """
    watched = snapshot(run)
    if not run.is_live() or watched.ended:
        raise BadInput(f"{run.name} is not training.", "See what there is with: codex-tui runs")
    if run.read_stop_request() in ("save", "terminate"):
        raise BadInput(f"{run.name} is stopping already.", f"Continue it later with: codex-tui resume {run.name}")
    if not run.is_kept():
        raise BadInput(
            f"The keeper of {run.name} is gone, so nobody would resume it.",
            f"Stop it, and resume it later: codex-tui stop {run.name}",
        )
    if watched.status != "parked":
        run.request_stop("park", reason)


def _refuse_if_training(run: RunDirectory) -> None:
    if run.is_live():
        raise BadInput(f"{run.name} is training already.", f"Watch it with: codex-tui attach {run.name}")


def _refuse_if_done(run: RunDirectory) -> None:
    if run.has_adapter() and snapshot(run).status == "done":
        raise BadInput(f"{run.name} is done: nothing is left to train.", suggest_chat(run))


def stop(run: RunDirectory) -> StopRequest:
    """Ask the run to end. The first request lets it save, the second ends it at once, the third kills the trainer, or
    the keeper if there is no trainer.

    Returns what the request comes to. Raises BadInput where no trainer or keeper runs.
    """
    if elsewhere := run.find_host():
        return _stop_elsewhere(run, elsewhere)
    processes = [identity for identity in (run.read_process(), run.read_keeper()) if identity and identity.is_alive()]
    if not processes:
        raise BadInput(f"{run.name} is not training.", "See what there is with: codex-tui runs")
    identity, last_request = processes[0], run.read_stop_request()
    try:
        if last_request in (None, "park"):
            held = snapshot(run).held
            run.request_stop("save")
            return "end" if held else "save"
        if last_request == "save":
            run.request_stop("terminate")
            os.kill(identity.pid, signal.SIGTERM)
            return "terminate"
        os.kill(identity.pid, signal.SIGKILL)
        return "kill"
    except ProcessLookupError:  # the trainer has ended in the meantime
        return "terminate"


def _stop_elsewhere(run: RunDirectory, host: str) -> StopRequest:
    """Ask a run that another machine trains to end, through the folder that both share."""
    last_request = run.read_stop_request()
    if last_request == "terminate":
        raise BadInput(f"{run.name} runs on {host}, and only that machine can kill it.", f"Stop it there: ssh {host}")
    if last_request == "save":
        run.request_stop("terminate")
        return "terminate"
    held = snapshot(run).held
    run.request_stop("save")
    return "end" if held else "save"


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


def _take_ticket(run: RunDirectory, profile: Profile, *, wait: bool) -> Lease:
    """Give `run` its place in the queue of its card. Without `wait`, it has the card at once."""
    queue, deadline = find_queue(profile.hardware.first_device), time.monotonic() + TICKET_SECONDS
    while True:
        try:
            return queue.take(run.name, start_now=not wait)
        except HasTicket:
            if time.monotonic() > deadline:
                raise BadInput(f"{run.name} is queued or training already.", "See: codex-tui queue") from None
            time.sleep(0.02)


def _start(run: RunDirectory, python: Path, lease: Lease, attempt: int) -> None:
    """Start the keeper, which inherits the lease from here on."""
    _children[:] = [child for child in _children if child.poll() is None]
    descriptor = open_to_append(run.log)
    try:
        if attempt > 1:
            with suppress(OSError):  # a full disk: the trainer itself reports that
                os.write(descriptor, f"\n── attempt {attempt} ──\n".encode())
        child = subprocess.Popen(
            [str(python), "-m", "training", str(run.path)],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=run.path,
            env=trainer_environment()
            | {
                tell.VARIABLE: make_tell_command(),
                trackers.VARIABLE: str(locations.data_home() / "trackers"),
                card_queue.VARIABLE: str(lease.descriptor),
            },
            pass_fds=(lease.descriptor,),
            start_new_session=True,
        )
    except OSError as error:
        raise CodexError(f"{python} can't be started: {error.strerror}.", "Run: codex-tui doctor") from error
    finally:
        os.close(descriptor)
        lease.close()
    _children.append(child)
    # The keeper writes its identity itself once Python is up. Until then the app would take the run for lost. If two
    # keepers were started at once, the one that holds the run's lock may have written its own identity already.
    identity = ProcessIdentity.from_pid(child.pid, attempt)
    if identity and not run.is_live():
        try:
            run.write_keeper(identity)
        except OSError:  # a full disk: a keeper that nobody can find must not run
            child.kill()
            child.wait()
            raise
