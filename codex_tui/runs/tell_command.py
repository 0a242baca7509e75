"""The command that a run starts when there is something new to tell: this very program, with `tell`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import codex_tui
from codex_tui.base import locations


def make_tell_command() -> str:
    """Return the command as JSON, for the variable `training.contract.tell.VARIABLE`.

    The trainer's Python and its environment are other ones, so the command has the interpreter and the variables with
    which this program was started. Nothing is imported from the folder where it runs, which is that of the run.
    """
    root = Path(codex_tui.__file__).parents[1]
    places = [str(Path(place).absolute()) for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    if root.name not in ("site-packages", "dist-packages"):  # a checkout, which may not be installed
        places.append(str(root))
    variables = {"PYTHONPATH": os.pathsep.join(places)}
    if home := os.environ.get("PYTHONHOME"):
        variables["PYTHONHOME"] = home
    if home := os.environ.get("CODEX_TUI_HOME"):
        variables["CODEX_TUI_HOME"] = str(locations.expand_home(home).absolute())
    changes = [f"{name}={value}" for name, value in variables.items()]
    return json.dumps(["env", *changes, sys.executable, "-P", "-m", "codex_tui", "tell"])
