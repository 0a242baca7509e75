"""The local engine: starts the keeper of a run in a session of its own, so that it outlives the app."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from codex_tui.base.errors import BadInput, CodexError
from codex_tui.engines.engine import SharedFolder, Start
from codex_tui.engines.keeper import make_keeper_command, make_keeper_environ, write_heading
from codex_tui.runs.queue import find_queue
from training.contract import card_queue
from training.contract.card_queue import HasTicket, Lease
from training.contract.control import Request
from training.contract.engine import EngineRecord
from training.contract.files import open_to_append
from training.contract.process import ProcessIdentity
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory

TICKET_SECONDS = 2.0
"""A run whose keeper was killed may have a trainer that just starts. The kernel ends it, and frees the ticket then."""

# The app polls its keepers here, so that those that ended do not stay zombies while it runs.
_children: list[subprocess.Popen[bytes]] = []


class LocalEngine(SharedFolder):
    """Runs keep and train as processes of this machine, and take their turns on its cards by `card_queue`.

    A run of a machine that shares the folder is a local one too: requests reach it through RUN/control.
    """

    def check(self, profile: Profile) -> None:
        pass

    def start(self, run: RunDirectory, start: Start) -> None:
        assert start.interpreter
        lease = _take_ticket(run, start.profile, wait=start.wait)
        start_keeper(run, start.interpreter, lease, start.attempt)

    def look(self, run: RunDirectory) -> EngineRecord:
        return run.read_engine() or EngineRecord("local", status="running" if run.is_live() else "gone")

    def ask(self, run: RunDirectory, request: Request) -> None:
        run.write_request(request)
        if request.word == "terminate":
            _signal(run, signal.SIGTERM)

    def kill(self, run: RunDirectory) -> None:
        if record := run.read_engine():  # a damaged one
            raise BadInput(f"Nobody knows which machine trains {run.name}.", record.reason)
        if host := run.find_host():
            problem = f"{run.name} runs on {host}, and only that machine can kill it."
            raise BadInput(problem, f"Stop it there: ssh {host}")
        _signal(run, signal.SIGKILL)


def start_keeper(run: RunDirectory, python: Path, lease: Lease, attempt: int) -> None:
    """Start the keeper, which inherits the lease from here on."""
    _children[:] = [child for child in _children if child.poll() is None]
    write_heading(run, attempt)
    descriptor = open_to_append(run.log)
    try:
        child = subprocess.Popen(
            make_keeper_command(run, python),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=run.path,
            env=make_keeper_environ() | {card_queue.VARIABLE: str(lease.descriptor)},
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


def _take_ticket(run: RunDirectory, profile: Profile, *, wait: bool) -> Lease:
    """Give `run` its place in the queue of its cards. Without `wait`, it has them at once."""
    queue, deadline = find_queue(profile), time.monotonic() + TICKET_SECONDS
    while True:
        try:
            return queue.take(run.name, start_now=not wait)
        except HasTicket:
            if time.monotonic() > deadline:
                raise BadInput(f"{run.name} is queued or training already.", "See: codex-tui queue") from None
            time.sleep(0.02)


def _signal(run: RunDirectory, number: signal.Signals) -> None:
    """Send a signal to the trainer, or to the keeper if there is no trainer."""
    if identity := next(_list_processes(run), None):
        with suppress(ProcessLookupError):  # it has ended in the meantime
            os.kill(identity.pid, number)


def _list_processes(run: RunDirectory) -> Iterator[ProcessIdentity]:
    for identity in (run.read_process(), run.read_keeper()):
        if identity and not identity.is_elsewhere() and identity.is_alive():
            yield identity
