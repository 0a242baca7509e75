"""Runs that another machine trains: started, mirrored, stopped and fetched over a real ssh."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.config_file import write_config
from support.fake_checkpoint import write_checkpoint
from support.fake_interpreter import fake_interpreter
from support.kept_runs import until
from support.sshd import Box

from codex_tui import launcher, stopping
from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.base.progress import Progress
from codex_tui.cli import main
from codex_tui.engines.refresh import refresh
from codex_tui.engines.ssh import engine, sending, watching
from codex_tui.engines.ssh.app import RemoteApp
from codex_tui.engines.ssh.connection import RemoteFailed
from codex_tui.engines.ssh.remotes import Remote, add_remote, remove_remote
from codex_tui.launch_plan import LaunchPlan, make_plan
from codex_tui.runs import fetching
from codex_tui.runs.changes import rename_run
from codex_tui.runs.fetching import read_progress
from codex_tui.runs.follower import snapshot
from codex_tui.runs.resume_point import NoWholeCheckpoint
from training.contract.config import RunConfig
from training.contract.engine import EngineRecord
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def remote(box: Box) -> Iterator[Remote]:
    """The remote "box" with this very app, and a trainer that logs a step each 10 ms. Its runs end with the test."""
    remote = Remote("box", "box", str(box.home / "codex-tui"))
    add_remote(remote)
    install_here(Path(RemoteApp(remote).folder))
    train_with(remote, fake_interpreter(box.home, "parking_trainer"))
    yield remote
    for there in list_there(remote):
        there.request_stop("terminate")
    until(lambda: not has_processes(remote))  # a keeper works on after it has left keeper.json


def has_processes(remote: Remote) -> bool:
    runs = f"{remote.root}/data/runs/"
    commands = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"], []))
    return any(argument.startswith(runs) for command in commands for argument in command)


def install_here(folder: Path) -> None:
    """Make the environment of the app over there from the packages of this one, instead of installing them again."""
    base, purelib = Path(sys.executable).resolve(), sysconfig.get_path("purelib")
    packages = folder / "venv" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "app.pth").write_text(f"{REPOSITORY}\n{purelib}\n")
    (folder / "venv" / "bin").mkdir()
    (folder / "venv" / "bin" / "python").symlink_to(base)
    (folder / "venv" / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")


def train_with(remote: Remote, python: Path) -> None:
    settings = Path(remote.root, "config", "settings.toml")
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(f"[trainer]\npython = {json.dumps(str(python))}\n")


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(
        '[model]\nname = "demo:llama"\n[dataset]\npath = "rows.jsonl"\n'
        '[launch]\nengine = "ssh"\n[launch.ssh]\nremote = "box"\n'
    )
    (tmp_path / "rows.jsonl").write_text('{"instruction": "Who?", "response": "Rook."}\n')
    return path


@pytest.fixture
def run(remote: Remote, profile: Path) -> RunDirectory:
    """A run that trains on the box."""
    return launcher.launch(make_plan(profile))


def list_there(remote: Remote) -> list[RunDirectory]:
    return [RunDirectory(path) for path in Path(remote.root, "data", "runs").glob("[!.]*")]


def find_there(run: RunDirectory) -> RunDirectory:
    return RunDirectory(read_engine(run).folder)


def read_engine(run: RunDirectory) -> EngineRecord:
    record = run.read_engine()
    assert record
    return record


def status_of(run: RunDirectory) -> str:
    refresh(run)
    return snapshot(run).status


def record_fetches(monkeypatch: pytest.MonkeyPatch) -> list[Progress]:
    """What the viewers can read about the fetches of this process from now on."""
    fetched: list[Progress] = []
    write = fetching.files.write_atomically

    def record(path: Path, content: bytes, **options: Any) -> None:
        write(path, content, **options)
        if path.name == fetching.FILE and (progress := read_progress(RunDirectory(path.parent))):
            fetched.append(progress)

    monkeypatch.setattr(fetching.files, "write_atomically", record)
    return fetched


def is_beginning(run: RunDirectory, there: RunDirectory) -> bool:
    return there.events.read_bytes().startswith(run.events.read_bytes())


def test_a_run_is_sent_with_its_rows_and_stopped_and_its_results_come_back(
    run: RunDirectory, remote: Remote, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = find_there(run)
    config, config_there = RunConfig.read(run.config), RunConfig.read(there.config)
    assert there.path == Path(remote.root, "data", "runs", run.name)
    assert config.files == [str(profile.parent / "rows.jsonl")]
    [rows] = map(Path, config_there.files or [])
    assert rows.is_relative_to(remote.root) and rows.read_bytes() == (profile.parent / "rows.jsonl").read_bytes()
    assert config_there.profile["launch"]["engine"] == "local"
    until(lambda: status_of(run) == "training")
    there.adapter.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (there.adapter / name).write_bytes(os.urandom(300_000))
    fetched = record_fetches(monkeypatch)
    assert stopping.stop(run) == "save"
    assert snapshot(run).status in ("stopping", "training", "stopped")
    until(lambda: read_engine(run).status == "gone" or status_of(run) == "")
    assert snapshot(run).status == "stopped"
    for name in ("events.jsonl", "process.json", "exit.json", "adapter/adapter_model.safetensors"):
        assert (run.path / name).read_bytes() == (there.path / name).read_bytes(), name
    assert run.has_adapter() and not run.checkpoints.exists()
    assert fetched[0].step == "looking for results on box"
    assert any(each.step == "fetching adapter from box" and each.total == 600_000 for each in fetched), fetched
    assert read_progress(run) is None

    second = launcher.launch(make_plan(profile))
    assert RunConfig.read(find_there(second).config).files == [str(rows)]  # they were there already
    assert len(list(rows.parents[1].iterdir())) == 1


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


def test_a_chat_waits_for_the_adapter(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    until(lambda: status_of(run) == "training")
    assert main(["chat", run.name, "--prompt", "Who?", "--in-trainer"]) == 2
    assert "is on box, where nobody can ask it from here" in capsys.readouterr().err
    assert main(["chat", run.name, "--prompt", "Who?"]) == 2
    assert "It comes here from the other machine at the end of the run." in capsys.readouterr().err


def test_park_and_resume_go_over_the_link(run: RunDirectory) -> None:
    there = find_there(run)
    until(lambda: status_of(run) == "training")
    stopping.park(run)
    until(lambda: status_of(run) == "parked")
    assert not there.is_trainer_alive() and there.is_kept()
    copied = RunDirectory(shutil.copytree(run.path, run.path.with_name("copied")))
    assert snapshot(copied).reason == "This is a copy; its original ran on box."
    for change in (stopping.stop, stopping.park, launcher.resume):
        with pytest.raises(BadInput, match=r"is not training|can't be resumed"):
            change(copied)
    assert status_of(run) == "parked" and there.is_kept()
    launcher.resume(run)
    until(lambda: status_of(run) == "training")
    assert snapshot(run).state.attempt == 2


def test_a_run_that_was_stopped_is_resumed_over_there(run: RunDirectory) -> None:
    there = find_there(run)
    until(lambda: status_of(run) == "training")
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped")
    with pytest.raises(NoWholeCheckpoint, match="box: The checkpoint of step"):
        launcher.resume(run)
    assert status_of(run) == "stopped"
    shutil.rmtree(there.checkpoints)
    write_checkpoint(there.checkpoints, 7)
    until_then = time.time() + 3e6
    launcher.resume(run, until=until_then)
    assert snapshot(run).status == "preparing"  # its old end is that of the first attempt
    until(lambda: status_of(run) == "training")
    state = snapshot(run).state
    assert (state.attempt, state.resume_step) == (2, 7)
    assert abs((RunConfig.read(there.config).until or 0) - until_then) < 60


def test_a_second_and_a_third_stop_end_and_kill_it(remote: Remote, profile: Path, box: Box) -> None:
    train_with(remote, fake_interpreter(box.home, "waiting_trainer", "stubborn"))
    run = launcher.launch(make_plan(profile))
    there = find_there(run)
    until(lambda: b"training" in there.log.read_bytes())
    assert [stopping.stop(run) for _ in range(2)] == ["save", "terminate"]
    until(lambda: b"told to end" in there.log.read_bytes())
    assert stopping.stop(run) == "kill"
    until(lambda: not there.is_live())
    assert status_of(run) == "lost"
    with pytest.raises(BadInput, match="is not training"):
        stopping.stop(run)


def test_a_run_that_ended_while_nobody_watched_is_caught_up(
    remote: Remote, profile: Path, box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    train_with(remote, fake_interpreter(box.home, "short_trainer", "20"))
    run = launcher.launch(make_plan(profile))
    there = find_there(run)
    until(lambda: there.events.exists() and b'"done"' in there.events.read_bytes() and not there.is_live())
    assert not run.events.exists()
    assert main(["runs", "--json"]) == 0
    [summary] = json.loads(capsys.readouterr().out)
    assert (summary["state"], summary["step"]) == ("done", 20)
    assert run.events.read_bytes() == there.events.read_bytes()
    assert (run.adapter / "adapter_model.safetensors").read_bytes() == (
        there.adapter / "adapter_model.safetensors"
    ).read_bytes()


def test_runs_keep_together_whatever_they_are_called(run: RunDirectory, remote: Remote) -> None:
    until(lambda: status_of(run) == "training")
    stopping.park(run)
    until(lambda: status_of(run) == "parked")
    there = find_there(run)
    there.path.rename(there.path.with_name("moved"))
    launcher.resume(run)
    assert find_there(run).name == "moved"
    until(lambda: status_of(run) == "training")
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped")
    renamed = rename_run(run, "renamed")
    assert status_of(renamed) == "stopped"
    shutil.rmtree(find_there(renamed).path)
    launcher.resume(renamed)  # it is sent again
    until(lambda: status_of(renamed) == "training")


def test_a_stop_reaches_the_very_run_whatever_the_others_are_called(run: RunDirectory, remote: Remote) -> None:
    there = find_there(run)
    until(lambda: status_of(run) == "training")
    stopping.park(run)
    until(lambda: status_of(run) == "parked")
    others = [RunDirectory(there.path.with_name(name)) for name in (f"{run.name}0", run.name)]
    there.path.rename(there.path.with_name("moved"))
    for other in others:  # one whose name begins so, and one with the same name
        other.create()
        write_config(other, {"name": other.name, "created": 1.0})
        other.write_keeper(ProcessIdentity.current())
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped")
    assert find_there(run).name == "moved"
    assert not any(other.control.exists() for other in others)
    shutil.rmtree(find_there(run).path)
    place = engine._Place.of(run)
    with pytest.raises(BadInput, match=r"The run's folder is gone on box\."):
        place.call("stop", "--exact")
    assert not any(other.control.exists() for other in others)
    for other in others:
        shutil.rmtree(other.path)


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


def test_a_run_is_deleted_here_or_everywhere(
    run: RunDirectory, remote: Remote, profile: Path, box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "rm", run.name, "--yes"]) == 2
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped")
    box.link.cut()
    assert main(["runs", "rm", run.name, "--yes", "--everywhere"]) == 1
    assert "box can't be reached" in capsys.readouterr().err
    assert run.path.exists()
    box.link.restore()
    assert main(["runs", "rm", run.name, "--yes", "--everywhere"]) == 0
    assert not run.path.exists() and not list_there(remote)

    other = launcher.launch(make_plan(profile))
    until(lambda: status_of(other) == "training")
    assert main(["runs", "rm", other.name, "--yes", "--here"]) == 2  # it trains
    box.link.cut()
    until(lambda: status_of(other) == "unreachable")
    capsys.readouterr()
    assert main(["runs", "rm", other.name, "--yes"]) == 2
    assert f"codex-tui runs rm {other.name} --here" in capsys.readouterr().err
    assert main(["runs", "rm", other.name, "--yes", "--here"]) == 0
    assert not other.path.exists() and list_there(remote)
    box.link.restore()


def test_the_command_follows_a_run_to_its_end_and_its_adapter(remote: Remote, profile: Path, box: Box) -> None:
    train_with(remote, fake_interpreter(box.home, "short_trainer", "150"))
    profile.write_text(profile.read_text().partition("[launch]")[0])
    done = subprocess.run(
        [sys.executable, "-m", "codex_tui", "train", str(profile), "--on", "box", "--headless"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [run] = map(RunDirectory, locations.runs_home().glob("[!.]*"))
    assert "done  150 steps" in done.stdout and f"Adapter: {run.adapter}" in done.stdout
    assert run.events.read_bytes() == find_there(run).events.read_bytes()
