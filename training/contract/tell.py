"""Lets the app tell the person about a change of a run, while no viewer may be open.

The launcher passes the command in an environment variable: nothing in a run directory names what is executed.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import msgspec

from training.contract.run_directory import RunDirectory

VARIABLE = "CODEX_TUI_TELL"
"""A JSON list, the beginning of the command: ["/usr/bin/python3", "-m", "codex_tui", "tell"]."""

DETACH = 'cd / && "$@" &'
"""The shell ends at once, so the command is nobody's child: init reaps it."""


def tell(run: RunDirectory) -> None:
    """Start the command that tells the person how the run is now. Nobody waits for it, and no fault of it matters. It
    has a time limit of its own."""
    try:
        command = msgspec.json.decode(os.environ.get(VARIABLE, ""), type=list[str])
    except ValueError:  # as for a trainer that was started by hand
        return
    opened = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    closed = [(os.POSIX_SPAWN_CLOSE, number) for number in _list_inherited()]  # such as the run's place in a queue
    # The keeper blocks and ignores signals that the command needs.
    signals = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
    shell = ["sh", "-c", DETACH, "sh", *command, str(run.path)]
    with suppress(OSError, ValueError):
        pid = os.posix_spawnp(
            shell[0], shell, os.environ, file_actions=[*opened, *closed], setsid=True, setsigmask=[], setsigdef=signals
        )
        os.waitpid(pid, 0)


def _list_inherited() -> list[int]:
    """List the open files, beside the standard ones, that a new program would have too."""
    inherited = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208  pathlib would make an object of each name
        with suppress(OSError):  # that of the list itself
            if int(name) > 2 and os.get_inheritable(int(name)):
                inherited.append(int(name))
    return inherited
