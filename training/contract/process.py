"""The process that trains a run, and how it ended: process.json and exit.json."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import msgspec

DISOWNED = -1.0  # no process began before the boot


class ProcessIdentity(msgspec.Struct):
    """A process that can't be mistaken for a later one with the same pid.

    `create_time` is seconds from the boot to its start, `boot` the id of that boot, and `host` the machine's name. The
    time of day is not used, because it changes when the clock is set, and WSL2 sets it after every sleep of the laptop.
    """

    pid: int
    create_time: float
    attempt: int = 1
    boot: str = ""
    host: str = ""

    @classmethod
    def from_pid(cls, pid: int, attempt: int = 1) -> ProcessIdentity | None:
        """Return the process that has `pid` now, or None if there is none."""
        if (stat := _read_stat(pid)) is None:
            return None
        return cls(pid, stat[1], attempt, _read_boot_id(), os.uname().nodename)

    @classmethod
    def current(cls, attempt: int = 1) -> ProcessIdentity:
        identity = cls.from_pid(os.getpid(), attempt)
        assert identity is not None
        return identity

    def is_alive(self) -> bool:
        """Return True while this process runs. A zombie counts as ended."""
        if (stat := _read_stat(self.pid)) is None:
            return False
        state, create_time = stat
        return state not in "ZX" and create_time == self.create_time and self.is_of_this_boot()

    def disown(self) -> ProcessIdentity:
        """Return this process as one that never lives: it is that of the run whose folder was copied."""
        boot = "" if self.is_elsewhere() else self.boot
        return ProcessIdentity(self.pid, DISOWNED, self.attempt, boot)

    @property
    def may_live_elsewhere(self) -> bool:
        """Whether it was disowned, and may still run for the original."""
        return self.create_time == DISOWNED and (not self.boot or self.is_of_this_boot())

    def is_of_this_boot(self) -> bool:
        """Return False if the machine was restarted after the process began."""
        return self.boot == _read_boot_id()

    def is_elsewhere(self) -> bool:
        """Return True for a process of another machine, which shares the run's folder with this one."""
        return bool(self.host) and self.host != os.uname().nodename and not self.is_of_this_boot()


class Exit(msgspec.Struct):
    """How process `pid` ended: with an exit `code`, or by `signal`, such as SIGKILL; `for_memory`: the kernel
    killed it because memory had run out. `parent` is the process that saw the end; the launcher knows its pid earlier
    than the pid of the trainer."""

    pid: int
    code: int | None = None
    signal: str = ""
    for_memory: bool = False
    parent: int = 0


def format_signal(number: int) -> str:
    """Return the name of a signal, such as SIGKILL, or its number if it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def read_parent(pid: int) -> int:
    """Read the pid of the parent of `pid`; 0 if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    return int(stat.rpartition(b")")[2].split()[1])


def _read_stat(pid: int) -> tuple[str, float] | None:
    """The state letter of `pid` and the seconds from the boot to its start, as proc(5) has them."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()  # the name of the command before it may contain anything
    return fields[0].decode(), int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _read_boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


PR_SET_PDEATHSIG = 1  # of prctl(2)
VMSTAT = Path("/proc/vmstat")


def die_with_parent(yes: bool, number: int = signal.SIGKILL) -> None:
    """Set whether the kernel ends this process, by signal `number`, when its parent dies.

    Until the trainer has written process.json, viewers know only its parent. If the parent dies, they show the run as
    lost, so the trainer must not continue unseen.
    """
    import ctypes  # here, because the app imports this module before its first paint

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number if yes else 0)


def count_oom_kills() -> int:
    """Read how many processes the kernel has killed for lack of memory since boot; 0 if the kernel doesn't tell."""
    with suppress(OSError, ValueError):
        for line in VMSTAT.read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
