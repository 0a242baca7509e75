"""Starts one trainer as a child of the keeper, and describes how it ended.

A process that is killed can't record it itself, and only its parent learns which signal it was.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from training.contract.process import Exit, ProcessIdentity, count_oom_kills, die_with_parent, format_signal
from training.contract.run_directory import RunDirectory

COMMAND = (sys.executable, "-m", "training", "attempt")
"""A trainer is a new program and no mere fork, so that an update of the app between two attempts does no harm."""


class TrainerProcess:
    """A running trainer. `poll` returns how it ended, and None until then. `code` is its exit code then, or 128 and the
    number of the signal that killed it, as in a shell. The trainer inherits the descriptor `lease`, so that its card
    stays taken if the keeper is killed."""

    def __init__(self, run: RunDirectory, command: Sequence[str], attempt: int, lease: int | None = None) -> None:
        self._oom_kills_before = count_oom_kills()
        self.attempt, self.code = attempt, 0
        self.pid = _start([*command, str(run.path)], lease)
        # The trainer writes it again. Until then, viewers must not take the one before for it.
        if identity := ProcessIdentity.from_pid(self.pid, attempt):
            with suppress(OSError):
                run.write_process(identity)

    def poll(self) -> Exit | None:
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        if not ended:
            return None
        killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        code = None if killed_by else os.waitstatus_to_exitcode(status)
        self.code = 128 + killed_by if killed_by else code or 0
        out_of_memory = killed_by == signal.SIGKILL and count_oom_kills() > self._oom_kills_before
        return Exit(self.pid, code, format_signal(killed_by) if killed_by else "", out_of_memory, os.getpid())

    def send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)  # no other process can have this pid before `poll` has seen the end


def _start(command: list[str], lease: int | None) -> int:
    parent = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # the keeper's handler must not take the trainer's
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        return child
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with_parent(True)
        if os.getppid() != parent:  # the keeper died before this, so its death would bring no signal
            os._exit(1)
        # SIGINT and SIGHUP stay ignored in the new program: a closed terminal is no stop request.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD, signal.SIGTERM])
        if lease is not None:
            os.set_inheritable(lease, True)
        os.execv(command[0], command)
    except BaseException as error:  # noqa: BLE001  nothing of the keeper may run in the child
        os.write(2, f"{command[0]} can't be started: {error}\n".encode(errors="replace"))
    finally:
        os._exit(1)
