"""Waits for the trainer, and writes down how it ended where it can't say so itself: RUN/exit.json.

A process that is killed says nothing, and only its parent learns by what. So the trainer is a child, forked before
anything is imported; the parent does nothing but wait, and keep the log from filling the disk.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from training.contract.log import bound
from training.contract.process import Exit, die_with_parent, signal_name
from training.contract.run_directory import RunDirectory

VMSTAT = Path("/proc/vmstat")
LOOK_EVERY = 0.5  # seconds between two looks at the log


def fork(run: RunDirectory) -> int | None:
    """None in the trainer's own process; in its parent the exit code, once it has ended."""
    kills, parent = memory_kills(), os.getpid()
    child = os.fork()
    if child == 0:
        die_with_parent(True)
        if os.getppid() != parent:  # it was gone already, and no signal comes
            os._exit(1)
        return None
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal that closes, or Ctrl-C in one, is no request
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    status = _wait(child, run.log)
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    code = None if killed_by else os.waitstatus_to_exitcode(status)
    for_memory = killed_by == signal.SIGKILL and memory_kills() > kills
    with suppress(OSError):  # a full disk: the run counts as lost then, which it is
        killer = signal_name(killed_by) if killed_by else ""
        run.write_exit(Exit(child, code, killer, for_memory, os.getpid()))
    return code if code is not None else 128 + (killed_by or 0)


def _wait(child: int, log: Path) -> int:
    """The wait status of `child`, once it has ended."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # so that it is waited for, and not missed
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        with suppress(OSError):
            bound(log)
        if ended:
            return status
        signal.sigtimedwait([signal.SIGCHLD], LOOK_EVERY)


def memory_kills() -> int:
    """How many processes the kernel has ended for memory since it started; 0 where it does not tell."""
    with suppress(OSError, ValueError):
        for line in VMSTAT.read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
