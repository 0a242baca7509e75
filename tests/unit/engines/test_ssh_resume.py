"""A resume of a run that its remote holds: it gets the cards as the person wants it, after other runs or at once."""

from __future__ import annotations

import pytest
from support.engine_runs import put_on_box
from support.fake_runs import make_run

from codex_tui import launcher
from codex_tui.engines.ssh import engine
from codex_tui.engines.ssh.remote.app import RemoteApp
from codex_tui.engines.ssh.remote.remotes import Remote, add_remote
from training.contract import events as ev

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.mark.parametrize(
    ("state", "wait", "turn"), [("parked", True, "--queue"), ("parked", False, "--now"), ("queued", False, "--now")]
)
def test_a_held_run_is_resumed_in_its_turn_or_at_once(
    monkeypatch: pytest.MonkeyPatch, state: ev.HeldState, wait: bool, turn: str
) -> None:
    run = make_run("a", ev.Started(attempt=1, pid=7), ev.Held(state=state, reason="Why.", step=7))
    asked: list[tuple[str, ...]] = []
    put_on_box(run, "running")
    add_remote(Remote("box", "box", "/home/me/codex-tui"))
    monkeypatch.setattr(launcher, "refresh", lambda _: None)
    monkeypatch.setattr(engine, "find_sent_run", lambda *_: "/home/me/runs/a-2")
    monkeypatch.setattr(RemoteApp, "ensure", lambda _: None)
    monkeypatch.setattr(RemoteApp, "call", lambda _, *arguments, **_options: asked.append(arguments))
    launcher.resume(run, wait=wait)
    assert asked == [("resume", "a-2", "--json", "--exact", turn)]
