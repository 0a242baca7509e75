"""Turns the advice of a remote's app into commands for this machine."""

from __future__ import annotations

import shlex

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
