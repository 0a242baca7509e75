"""A link that is cut loses nothing, and makes no run lost."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support.kept_runs import until
from support.sent_runs import find_there, is_beginning, status_of
from support.sshd import Box

from codex_tui import launcher, stopping
from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.cli import main
from codex_tui.engines.ssh import engine, sending, watching
from codex_tui.engines.ssh.remote.remotes import Remote
from codex_tui.launch_plan import make_plan
from codex_tui.runs.follower import snapshot
from training.contract.run_directory import RunDirectory


@pytest.mark.parametrize("way", ["killed", "silent", "refused"])
def test_a_cut_link_is_unreachable_and_never_lost(
    way: str, run: RunDirectory, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "ANSWER_SECONDS", 2.0)
    there = find_there(run)
    until(lambda: status_of(run) == "training")
    if way == "killed":
        following = threading.Thread(target=engine.SshEngine().follow, args=(run, lambda: True))
        following.start()
        size = run.events.stat().st_size
        until(lambda: run.events.stat().st_size > size)
        box.kill_sessions()
        following.join()  # the link was cut in the middle of the stream
        assert watching._notes[run.path].answered >= run.events.stat().st_mtime  # so that no event seems to be news
        box.link.cut()
    elif way == "silent":
        box.link.silence()
    else:
        box.link.cut()
    until(lambda: status_of(run) == "unreachable")
    watched = snapshot(run)
    assert watched.reason.startswith("No answer from box since ") and watched.reason.count("box") == 1
    assert is_beginning(run, there)
    with pytest.raises(BadInput, match="may be training"):
        launcher.resume(run)
    assert main(["runs", "rm", run.name, "--yes"]) == 2
    with pytest.raises(CodexError):
        stopping.stop(run)
    assert there.is_trainer_alive() and there.read_request() is None
    box.link.restore()
    until(lambda: status_of(run) == "training")
    there.request_stop("save")
    until(lambda: status_of(run) == "stopped")
    assert run.events.read_bytes() == there.events.read_bytes()


def test_a_link_that_is_cut_while_the_run_begins_leaves_it_unreachable(
    remote: Remote, profile: Path, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = sending.send_run

    def send_and_cut(*arguments: object) -> str:
        folder = send(*arguments)  # type: ignore[arg-type]
        box.link.cut()
        return folder

    monkeypatch.setattr(engine, "send_run", send_and_cut)
    with pytest.raises(CodexError, match="The run may have begun there"):
        launcher.launch(make_plan(profile))
    [run] = map(RunDirectory, locations.runs_home().glob("[!.]*"))
    assert snapshot(run).status == "unreachable"
    box.link.restore()
    monkeypatch.setattr(engine, "send_run", send)
    until(lambda: status_of(run) == "lost")
    assert "It never began on box." in snapshot(run).reason
    launcher.resume(run)
    until(lambda: status_of(run) == "training")
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped")
