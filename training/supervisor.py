"""Waits for the trainer, and writes down how it ended where it can't say so itself: RUN/exit.json.

A process that is killed says nothing, and only its parent learns by what. So the trainer is a child, forked before
anything is imported; the parent does nothing but wait.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from training.contract.run_directory import Exit, RunDirectory

VMSTAT = Path("/proc/vmstat")


def fork(run: RunDirectory) -> int | None:
    """None in the trainer's own process; in its parent the exit code, once it has ended."""
    kills = memory_kills()
    child = os.fork()
    if child == 0:
        return None
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal that closes, or Ctrl-C in one, is no request
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    status = os.waitpid(child, 0)[1]
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    code = None if killed_by else os.waitstatus_to_exitcode(status)
    for_memory = killed_by == signal.SIGKILL and memory_kills() > kills
    with suppress(OSError):  # a full disk: the run counts as lost then, which it is
        run.write_exit(Exit(child, code, signal.Signals(killed_by).name if killed_by else "", for_memory))
    return code if code is not None else 128 + (killed_by or 0)


def memory_kills() -> int:
    """How many processes the kernel has ended for memory since it started; 0 where it does not tell."""
    with suppress(OSError, ValueError):
        for line in VMSTAT.read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
