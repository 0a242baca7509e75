"""The advice of a remote's doctor, as this machine prints it."""

from __future__ import annotations

import pytest

from codex_tui.commands.remote import _advise_from_here
from codex_tui.engines.ssh.remote.remotes import Remote


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
    ],
)
def test_an_advice_names_a_command_that_changes_the_remote(advice: str, here: str) -> None:
    assert _advise_from_here(advice, Remote("box", "me@host", "/disk/codex-tui")) == here
