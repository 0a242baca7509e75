"""Lets the app tell the person about a change of the run's state, while no viewer may be open.

The launcher passes the command in an environment variable: nothing in a run directory names what is executed.
"""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec

from training.contract.run_directory import RunDirectory

VARIABLE = "CODEX_TUI_TELL"
"""A JSON list, the beginning of the command: ["/usr/bin/python3", "-m", "codex_tui", "tell"]."""


def tell(run: RunDirectory) -> None:
    """Start the command that tells the person how the run is now. Nobody waits for it, and no fault of it matters."""
    try:
        command = msgspec.json.decode(os.environ.get(VARIABLE, ""), type=list[str])
    except ValueError:
        return
    with suppress(OSError, IndexError):
        _start_detached([*command, str(run.path)])


def _start_detached(command: list[str]) -> None:
    """Start a program that is nobody's child: the process between ends at once, so init reaps the program."""
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            silence = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(silence, descriptor)
            os.execvp(command[0], command)
    finally:
        os._exit(0)
