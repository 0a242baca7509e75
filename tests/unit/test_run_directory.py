"""The small files of a run: atomic, private, and never about the wrong process."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from training.contract.run_directory import ProcessIdentity, RunDirectory, write_atomically


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "runs" / "demo-1")
    run.create()
    return run


def test_a_run_is_private_and_made_once(run: RunDirectory) -> None:
    assert run.path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        run.create()


def test_a_stop_request_escalates_and_clears(run: RunDirectory) -> None:
    assert run.stop_requested() is None
    run.request_stop()
    assert run.stop_requested() == "save"
    run.request_stop("terminate")
    assert run.stop_requested() == "terminate"
    run.clear_stop()
    assert run.stop_requested() is None


def test_a_reused_pid_is_not_the_trainer(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    assert run.trainer_alive()
    run.write_process(ProcessIdentity(os.getpid(), psutil.Process().create_time() - 60))
    assert not run.trainer_alive()


def test_a_zombie_is_gone(run: RunDirectory) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    identity = ProcessIdentity(child.pid, psutil.Process(child.pid).create_time())
    assert identity.is_alive()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, not yet reaped
    assert not identity.is_alive()
    child.communicate()


def test_a_write_replaces_the_whole_file_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "half \ud800")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.json"]
    assert path.stat().st_mode & 0o777 == 0o600
