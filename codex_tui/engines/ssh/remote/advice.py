"""Turns the errors of a remote's app into sentences and commands for this machine."""

from __future__ import annotations

import posixpath
import re
import shlex
from pathlib import Path

from codex_tui.engines.ssh.remote.remotes import Remote


def advise_from_here(advice: str, remote: Remote) -> str:
    """Return `advice` with commands that reach the remote. As it was printed there, `codex-tui setup` would change this
    machine. `remote setup` has no options for llama.cpp and trackers."""
    setup = f"codex-tui remote setup {remote.name}"
    if "setup --export" in advice or "setup --with" in advice:
        setup = f"{shlex.join(['ssh', remote.host, shlex.quote(f'{remote.root}/bin/codex-tui')])} setup"
    commands = {
        "codex-tui setup": setup,
        "codex-tui doctor": f"codex-tui remote doctor {remote.name}",
        "codex-tui queue": f"codex-tui queue --on {remote.name}",
    }
    for there, here in commands.items():
        advice = advice.replace(there, here)
    return advice


def name_run_from_here(said: str, there: str, here: Path) -> str:
    """Return a sentence about the run in the folder `there` with the name that the run has in its folder `here`. Only
    where a sentence or a command names a run is the name replaced: it may be a common word."""
    place = rf"(^|\bof |\bcodex-tui (?:[a-z]+ )+){re.escape(posixpath.basename(there))}(?![\w-]|\.\w)"
    said = re.sub(place, lambda match: f"{match[1]}{here.name}", said, flags=re.MULTILINE)
    return said.replace(f"codex-tui train {there}/", f"codex-tui train {here}/")
