"""Starts the program that tells the person what has become of a run, as the launcher named it in the environment.

Nothing waits for that program, and none of its failures disturbs a run.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import msgspec

VARIABLE = "CODEX_TUI_TELL"
MAX_SECONDS = 120.0
"""A program that takes longer is killed. It has a shorter limit of its own."""


class Teller:
    """Tells the person about one run. At most one program runs at a time; one that is asked for meanwhile follows it.

    The owner calls `poll` when one of its children ends, and a few times a minute.
    """

    def __init__(self) -> None:
        self._command = _read_command(os.environ.get(VARIABLE, ""))
        self._pid = 0  # of the program that runs; 0: none runs
        self._since = 0.0
        self._next: Path | None = None

    def tell(self, run: Path) -> None:
        """Have the person told what is new of `run`, now or after the program that runs."""
        self._next = run
        self.poll()

    def poll(self) -> None:
        """Reap the program, or kill it after its time, and start it again if it was asked for meanwhile."""
        if self._is_running():
            return
        if self._command and self._next:
            self._start([*self._command, str(self._next)])
        self._next = None

    def finish(self) -> None:
        """Start what was asked for, even beside the program that runs: the owner ends now, and can't wait for it."""
        self._pid = 0
        self.poll()

    def _is_running(self) -> bool:
        if not self._pid:
            return False
        with suppress(ChildProcessError):  # the owner may have reaped it
            ended, _ = os.waitpid(self._pid, os.WNOHANG)
            if not ended:
                if time.monotonic() - self._since < MAX_SECONDS:
                    return True
                os.killpg(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
        self._pid = 0
        return False

    def _start(self, command: list[str]) -> None:
        """Start `command` in a session of its own. The owner may block or ignore signals; the program must not."""
        null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
        signals = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
        with suppress(OSError):
            self._pid = os.posix_spawnp(
                command[0], command, os.environ, file_actions=null, setsid=True, setsigmask=[], setsigdef=signals
            )
            self._since = time.monotonic()


def _read_command(text: str) -> list[str]:
    """Return the command; [] if the environment names none, as for a trainer that was started by hand."""
    try:
        return msgspec.json.decode(text, type=list[str])
    except ValueError:
        return []
