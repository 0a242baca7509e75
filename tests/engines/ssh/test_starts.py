"""Starts over ssh: what is taken, what goes wrong, and what may have begun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.kept_runs import until
from support.sent_runs import find_there, list_there, status_of, train_with
from support.sshd import Box

from codex_tui import launcher, stopping
from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.engines.ssh import engine, sending
from codex_tui.engines.ssh.link.failures import RemoteFailed
from codex_tui.engines.ssh.remote.app import RemoteApp
from codex_tui.engines.ssh.remote.remotes import Remote, remove_remote
from codex_tui.launch_plan import LaunchPlan, make_plan
from codex_tui.runs.follower import snapshot
from training.contract.run_directory import RunDirectory


def test_a_name_that_is_taken_over_there_becomes_a_similar_one(
    remote: Remote, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    is_installed = RemoteApp.is_installed
    monkeypatch.setattr(RemoteApp, "is_installed", lambda app: bool(asked.append("app")) or is_installed(app))
    taken = Path(remote.root, "data", "runs", "small-1")
    taken.mkdir(parents=True)
    (taken / "config.json").write_text('{"name": "small-1", "created": 1.0}')
    run = launcher.launch(make_plan(profile))
    assert asked == ["app"]  # a start asks once
    assert find_there(run).path.name == "small-1-2"
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped")


def test_what_goes_wrong_at_the_start_leaves_no_run(
    remote: Remote, profile: Path, box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_with(remote, box.home / "no-python")
    with pytest.raises(CodexError, match=r"^box: .*no-python"):
        launcher.launch(make_plan(profile))
    with pytest.raises(BadInput, match=r"model\.name is a folder of this machine"):
        launcher.launch(plan_with_model_of_this_machine(profile))
    box.link.cut()
    with pytest.raises(CodexError, match="box can't be reached"):
        launcher.launch(make_plan(profile))
    box.link.restore()
    remove_remote("box")
    with pytest.raises(BadInput, match="There is no remote 'box'"):
        launcher.launch(make_plan(profile))
    assert not list(locations.runs_home().glob("[!.]*")) and not list_there(remote)


def plan_with_model_of_this_machine(profile: Path) -> LaunchPlan:
    model = profile.parent / "model"
    model.mkdir()
    plan = make_plan(profile, overrides={"model.name": str(model)}, find_model=False)
    model.rmdir()  # both machines are one
    return plan


def test_a_run_that_is_being_sent_cant_be_stopped_yet(
    remote: Remote, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = sending.send_run

    def stop_and_send(connection: Any, root: str, run: RunDirectory, *rest: Any) -> str:
        with pytest.raises(BadInput, match=f"{run.name} is not on box yet: a program sends it"):
            stopping.stop(run)
        assert run.read_request() is None
        return send(connection, root, run, *rest)

    monkeypatch.setattr(engine, "send_run", stop_and_send)
    run = launcher.launch(make_plan(profile))
    until(lambda: status_of(run) == "training")
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped")


def test_a_run_whose_start_was_killed_over_there_is_not_deleted(
    remote: Remote, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = RemoteApp.call

    def call_and_die(self: RemoteApp, *arguments: str, **options: Any) -> Any:
        answer = call(self, *arguments, **options)
        if arguments[0] == "resume":
            raise RemoteFailed("box", "env", 137, "Killed")
        return answer

    monkeypatch.setattr(RemoteApp, "call", call_and_die)
    with pytest.raises(CodexError, match="The run may have begun there"):
        launcher.launch(make_plan(profile))
    [run] = map(RunDirectory, locations.runs_home().glob("[!.]*"))
    until(lambda: status_of(run) == "training")
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped")


def test_a_start_that_a_person_interrupts_trains_nowhere_until_a_resume_sends_the_run(
    remote: Remote, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> str:
        raise KeyboardInterrupt

    send = sending.send_run
    monkeypatch.setattr(engine, "send_run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        launcher.launch(make_plan(profile))
    [run] = map(RunDirectory, locations.runs_home().glob("[!.]*"))
    until(lambda: status_of(run) == "lost")
    assert "It was not sent to box" in snapshot(run).reason and not list_there(remote)
    monkeypatch.setattr(engine, "send_run", send)
    launcher.resume(run)
    until(lambda: status_of(run) == "training")
    assert run.is_mirror()
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped")
