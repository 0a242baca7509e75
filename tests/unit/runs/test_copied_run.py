"""A copy of a run's folder never asks, stops or follows the job of its original."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from support.config_file import write_config
from support.engine_runs import put_on_box, put_on_slurm
from support.fake_engine import FakeEngine, use_fake_engine
from support.fake_runs import make_run
from support.training_runs import demo_profile

from codex_tui import launcher, stopping
from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from codex_tui.cli import main
from codex_tui.engines.refresh import refresh
from codex_tui.engines.ssh.engine import SshEngine
from codex_tui.engines.ssh.remote.remotes import Remote, add_remote
from codex_tui.runs.follower import snapshot
from codex_tui.runs.library import list_engine_runs
from codex_tui.runs.resume_point import ResumePoint
from training.contract import events as ev
from training.contract.engine import EngineStatus
from training.contract.process import Exit, ProcessIdentity
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")
STARTED = (ev.Started(attempt=1, pid=7), ev.Phase(name="training", done=4, total=10), ev.Metrics(step=4, loss=1.0))


def make_trained_run(**launch: object) -> RunDirectory:
    """A run in its fourth step, with a profile that says where it is trained."""
    run = make_run("demo-1", *STARTED)
    profile = demo_profile(launch=launch).model_dump(mode="json")
    write_config(run, {"name": "demo-1", "profile": profile, "created": time.time() - 3600})
    return run


def copy(run: RunDirectory, name: str = "demo-copy") -> RunDirectory:
    """A copy beside the run, made just now."""
    return RunDirectory(shutil.copytree(run.path, run.path.with_name(name), copy_function=shutil.copyfile))


@pytest.mark.parametrize("status", ["waiting", "running", "unreachable"])
def test_a_copy_says_what_it_is_and_leaves_the_job_alone(
    status: EngineStatus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_fake_engine(monkeypatch)
    run = make_run("demo-1", *STARTED)
    put_on_slurm(run, status)
    copied = copy(run)
    watched = snapshot(copied)
    assert (watched.status, watched.reason) == ("lost", "This is a copy; its original ran as job 4711.")
    assert not copied.is_live() and not copied.is_trainer_alive()
    assert [each.name for each in list_engine_runs()] == ["demo-1"]
    refresh(copied)
    for command in ("stop", "park"):
        assert main([command, "demo-copy"]) == 2
        assert "demo-copy is not training" in capsys.readouterr().err
    assert main(["runs", "rm", "demo-copy", "--yes"]) == 0
    assert not FakeEngine.asked and run.is_live() and run.path.exists()


def test_a_copy_is_resumed_in_its_own_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_engine(monkeypatch)
    run = make_trained_run(engine="slurm")
    put_on_slurm(run, "running")
    copied = copy(run)
    monkeypatch.setattr("codex_tui.launcher.find_python_for", lambda _: Path("python"))
    launcher.resume(copied)
    assert FakeEngine.asked == [("demo-copy", "start")]
    assert copied.is_live() and not (copied.read_engine() or pytest.fail()).is_copy


def test_a_copied_mirror_says_so_and_is_not_resumed_as_its_original(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_trained_run(engine="ssh", ssh={"remote": "box"})
    put_on_box(run, "running")
    copied = copy(run)
    assert snapshot(copied).reason == "This is a copy; its original ran on box."
    assert not copied.is_mirror() and run.is_mirror()
    with pytest.raises(BadInput, match="is not training"):
        stopping.stop(copied)
    monkeypatch.setattr(SshEngine, "find_resume_point", lambda *_, **__: ResumePoint(4))
    add_remote(Remote("box", "nowhere.invalid", "/root"))
    with pytest.raises(BadInput, match=r"demo-copy can't be resumed. This is a copy; its original ran on box"):
        launcher.resume(copied)
    assert snapshot(copied).status == "lost"


def test_a_run_that_is_renamed_or_moved_is_no_copy(tmp_path: Path) -> None:
    run = make_run("demo-1", *STARTED)
    put_on_slurm(run, "running")
    renamed = RunDirectory(run.path.rename(run.path.with_name("demo-2")))
    (tmp_path / "link").symlink_to(renamed.path.parent)
    linked = RunDirectory(tmp_path / "link" / "demo-2")
    assert renamed.is_live() and linked.is_live()
    linked.write_engine(linked.read_engine() or pytest.fail())
    moved = RunDirectory(locations.runs_home().rename(tmp_path / "moved") / "demo-2")
    assert moved.is_live()
    moved.write_engine(moved.read_engine() or pytest.fail())
    backup = copy(moved, "backup")
    assert not backup.is_live()
    shutil.rmtree(moved.path)
    backup.path.rename(moved.path)
    assert moved.is_live()  # it takes the place of the original


@pytest.mark.parametrize("kept", [False, True])
def test_a_copy_of_a_run_of_this_machine_reaches_no_process_of_its_original(
    kept: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run("demo-1", *STARTED, alive=not kept, kept=kept)
    copied = copy(run)
    assert run.is_live() and not copied.is_live()
    watched = snapshot(copied)
    assert (watched.status, watched.reason) == ("lost", "This is a copy; its original was at step 4.")
    for _ in range(3):
        assert main(["stop", "demo-copy"]) == 2
        assert "demo-copy is not training" in capsys.readouterr().err
    assert snapshot(run).status == "training" and not copied.control.exists()
    before = copied.read_process()
    assert before and before.attempt == 1  # the next attempt of the copy is the second one


def test_a_copy_of_a_run_that_is_lost_says_how_it_was_lost() -> None:
    run = make_run("demo-1", *STARTED)
    process = ProcessIdentity.current()
    run.write_process(process)
    run.write_exit(Exit(process.pid, signal="SIGKILL", for_memory=True))
    assert "memory" in snapshot(copy(run)).reason
    run.exit.unlink()
    process.boot = "another boot"
    run.write_process(process)
    assert snapshot(copy(run, "rebooted")).reason.startswith("The machine was restarted")
