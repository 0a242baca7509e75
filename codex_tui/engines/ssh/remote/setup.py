"""Makes a machine ready to train: adds it, and installs the app and its training environment over there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codex_tui.base.errors import BadInput
from codex_tui.base.progress import OnProgress
from codex_tui.engines.ssh.link.connection import Connection
from codex_tui.engines.ssh.remote import machine, remotes
from codex_tui.engines.ssh.remote.app import RemoteApp
from codex_tui.engines.ssh.remote.host import parse_host
from codex_tui.engines.ssh.remote.machine import Machine
from codex_tui.engines.ssh.remote.remotes import Remote


def add(name: str, host: str, root: str, python: str) -> tuple[Remote, Machine]:
    """Connect to `host`, make the folder `root` over there, and keep both under `name`. Raises BadInput, Unreachable,
    and CodexError if nothing can train there."""
    remotes.check_name(name)
    host = parse_host(host)
    known = remotes.read_remotes().get(name)
    if known and known.host != host:
        raise BadInput(
            f"There is a remote {name} already: {known.host}.",
            f"Choose another name, or remove it first: codex-tui remote remove {name}",
        )
    facts = machine.examine(Connection(host, name), root)
    machine.require(facts, name)
    remote = Remote(name, host, facts.root, python)
    remotes.add_remote(remote)
    return remote, facts


def set_up(remote: Remote, report: OnProgress, options: Sequence[str] = ()) -> dict[str, Any]:
    """Install the app over there, then let its own `codex-tui setup OPTIONS` build or check the Python that trains.
    Returns what that prints. Raises Unreachable, CodexError."""
    app = RemoteApp(remote)
    app.ensure(report)
    app.call("config", "trainer.python", *([remote.python] if remote.python else ["--unset"]), "--json")
    answer: dict[str, Any] = app.call("setup", "--json", *options, report=report)
    return answer
