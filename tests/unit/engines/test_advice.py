"""The advice of a remote's app, as this machine prints it."""

from __future__ import annotations

from pathlib import Path

import pytest

from codex_tui.base.errors import NO_ENVIRONMENT, EnvironmentMissing, EnvironmentNotBuilt
from codex_tui.engines.ssh.link.failures import RemoteFailed
from codex_tui.engines.ssh.remote.advice import advise_from_here, name_run_from_here
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


@pytest.mark.parametrize(
    ("said", "here"),
    [
        ("small-2 is training already.", "mine is training already."),
        ("small-2 has a whole checkpoint at step 7.", "mine has a whole checkpoint at step 7."),
        ("The keeper of small-2 is gone.", "The keeper of mine is gone."),
        ("The deadline of small-2, 07:00, is past.", "The deadline of mine, 07:00, is past."),
        ("Watch it with: codex-tui attach small-2", "Watch it with: codex-tui attach mine"),
        ("Start over: codex-tui resume small-2 --from-start", "Start over: codex-tui resume mine --from-start"),
        ("End it: codex-tui stop small-2. Or not.", "End it: codex-tui stop mine. Or not."),
        ("See: codex-tui runs rm small-2 --here", "See: codex-tui runs rm mine --here"),
        ("codex-tui train /there/data/runs/small-2/profile.toml", "codex-tui train /here/mine/profile.toml"),
        ("small-20 is training already.", "small-20 is training already."),
        ("codex-tui attach small-2.1", "codex-tui attach small-2.1"),
        ("codex-tui attach a-small-2", "codex-tui attach a-small-2"),
        ("/there/data/runs/small-2/config.json is damaged.", "/there/data/runs/small-2/config.json is damaged."),
    ],
)
def test_a_run_is_called_as_it_is_here(said: str, here: str) -> None:
    assert name_run_from_here(said, "/there/data/runs/small-2", Path("/here/mine")) == here


def test_a_run_whose_name_is_a_word_changes_no_other_word() -> None:
    said = "training is training already. Watch its training: codex-tui attach training"
    here = "mine is training already. Watch its training: codex-tui attach mine"
    assert name_run_from_here(said, "/there/training", Path("/here/mine")) == here


def test_an_error_of_the_remotes_app_advises_a_command_that_changes_the_remote() -> None:
    there = EnvironmentNotBuilt(9)
    printed = f"codex-tui: {there.message}\n{there.hint}\n"
    error = RemoteApp(BOX)._explain(RemoteFailed("box", "env", NO_ENVIRONMENT, printed), b"", "resume")
    assert isinstance(error, EnvironmentMissing)
    assert (error.message, error.hint) == (f"box: {there.message}", "Build it: codex-tui remote setup box")


def test_an_advice_names_the_remote_also_where_a_run_has_its_name() -> None:
    there = EnvironmentNotBuilt(9)
    printed = f"codex-tui: {there.message}\n{there.hint}\n"
    failed = RemoteFailed("box", "env", NO_ENVIRONMENT, printed)
    error = RemoteApp(BOX)._explain(failed, b"", "resume", ("/there/runs/box", Path("/here/mine")))
    assert error.hint == "Build it: codex-tui remote setup box"
