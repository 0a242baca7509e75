"""The advice of a remote's app, as this machine prints it."""

from __future__ import annotations

import pytest

from codex_tui.base.errors import NO_ENVIRONMENT, EnvironmentMissing, EnvironmentNotBuilt
from codex_tui.engines.ssh.link.connection import RemoteFailed
from codex_tui.engines.ssh.remote.advice import advise_from_here
from codex_tui.engines.ssh.remote.app import RemoteApp
from codex_tui.engines.ssh.remote.remotes import Remote

BOX = Remote("box", "me@host", "/disk/codex-tui")


@pytest.mark.parametrize(
    ("advice", "here"),
    [
        ("codex-tui setup", "codex-tui remote setup box"),
        ("codex-tui setup --cuda", "codex-tui remote setup box --cuda"),
        (
            "only GGUF files and `serve` need it: codex-tui setup --export",
            "only GGUF files and `serve` need it: ssh me@host /disk/codex-tui/bin/codex-tui setup --export",
        ),
        ("codex-tui setup --with trackio", "ssh me@host /disk/codex-tui/bin/codex-tui setup --with trackio"),
        ("loginctl enable-linger", "loginctl enable-linger"),
        ("Run: codex-tui doctor", "Run: codex-tui remote doctor box"),
        ("See: codex-tui queue", "See: codex-tui queue --on box"),
    ],
)
def test_an_advice_names_a_command_that_changes_the_remote(advice: str, here: str) -> None:
    assert advise_from_here(advice, BOX) == here


def test_an_error_of_the_remotes_app_advises_a_command_that_changes_the_remote() -> None:
    there = EnvironmentNotBuilt(9)
    printed = f"codex-tui: {there.message}\n{there.hint}\n"
    error = RemoteApp(BOX)._explain(RemoteFailed("box", "env", NO_ENVIRONMENT, printed), b"", "resume")
    assert isinstance(error, EnvironmentMissing)
    assert (error.message, error.hint) == (f"box: {there.message}", "Build it: codex-tui remote setup box")
