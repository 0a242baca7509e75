"""Keeps the machine from falling asleep while a trainer runs (keeper.inhibit_sleep).

A program of the system does it, which ends with the keeper: the kernel kills it when the keeper dies, and its stdin, a
pipe from the keeper, closes. So a killed keeper leaves no machine awake for ever.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from training.contract.config import RunConfig, get_table
from training.contract.power import SleepInhibitor, find_sleep_inhibitor
from training.contract.process import die_with_parent
from training.contract.run_directory import RunDirectory
from training.keeper.watchers import Moment
from training.memory.wsl import wsl

REFUSED_WITHIN_SECONDS = 60.0  # a program that ends sooner could not hold off sleep; later, someone has ended it


class SleepGuard:
    """Holds off sleep between `hold` and `release`."""

    def __init__(self, inhibitor: SleepInhibitor | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._commands = list(inhibitor.commands) if inhibitor else []
        self._clock = clock
        self._pid = 0
        self._pipe = -1
        self._started_at = 0.0

    @property
    def holds(self) -> bool:
        return self._pid != 0

    def hold(self) -> None:
        """Start the program, or look after it. Call this again from time to time: a program that was refused is
        replaced by the next one that may be allowed, and one that someone has ended is started again."""
        if self._pid and _has_ended(self._pid):
            self._close()
            if self._clock() - self._started_at < REFUSED_WITHIN_SECONDS:
                del self._commands[0]
        if self._commands and not self._pid:
            self._pid, self._pipe = _start(self._commands[0])
            self._started_at = self._clock()

    def release(self) -> None:
        """Let the machine sleep again."""
        if self._pid:
            pid = self._pid
            self._close()
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(pid, 0)

    def _close(self) -> None:
        os.close(self._pipe)
        self._pid = 0


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:  # another part of the keeper has reaped it
        return True


def _start(command: tuple[str, ...]) -> tuple[int, int]:
    """Start `command`, and return its pid and the writing end of the pipe that is its stdin."""
    stdin, pipe = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent(True)
            if os.getppid() == parent:
                _become(command, stdin)
        finally:
            os._exit(1)
    os.close(stdin)
    return pid, pipe


def _become(command: tuple[str, ...], stdin: int) -> None:
    os.setsid()  # Ctrl-C in the terminal of a foreground keeper is not for it
    signal.pthread_sigmask(signal.SIG_SETMASK, [])  # exec keeps the mask and the ignored signals of the keeper
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(stdin, 0)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.chdir("/")  # so that it keeps no folder of a run in use
    environ = dict(os.environ)
    terminal = os.path.basename(environ.get("WSL_INTEROP", "")).partition("_")[0]  # noqa: PTH119
    if not os.path.exists(f"/proc/{terminal}"):  # noqa: PTH110
        del environ["WSL_INTEROP"]  # the way to Windows of a terminal that was closed; without it, WSL finds another
    os.execve(command[0], command, environ)


class SleepWatcher:
    """Holds off sleep while a trainer runs, and never while the run is held."""

    seconds = 10.0

    def __init__(self, run: RunDirectory, config: RunConfig) -> None:
        inhibits = get_table(config.profile, "keeper").get("inhibit_sleep", True) is True
        self.guard = SleepGuard(find_sleep_inhibitor(f"{run.name} trains", wsl()) if inhibits else None)

    def look(self, moment: Moment) -> None:
        if moment.trainer is None:
            self.guard.release()
        else:
            self.guard.hold()
