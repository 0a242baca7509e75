"""The small files of a run: atomic, private, and never about the wrong process."""

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from codex_tui.runs.log_tail import LogTail
from codex_tui.runs.outcome import read_log_tail
from training.contract.config import ConfigMissing, RunConfig
from training.contract.control import Request
from training.contract.files import clear_unfinished, open_file, write_atomically
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.history.tailer import Tailer, sample_events


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run = RunDirectory(tmp_path / "runs" / "demo-1")
    run.create()
    return run


def test_a_run_is_private_and_made_once(run: RunDirectory) -> None:
    assert run.path.stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        run.create()


@pytest.mark.parametrize(
    "request_",
    [Request("save"), Request("park", "Why."), Request("park", "Why.", "What ends it."), Request("park", "", "End.")],
)
def test_a_request_is_read_as_it_was_written(run: RunDirectory, request_: Request) -> None:
    run.write_request(request_)
    assert run.read_request() == run.take_request() == request_
    assert run.read_request() is None


def test_a_stop_request_escalates_and_clears(run: RunDirectory) -> None:
    assert run.read_stop_request() is None
    run.request_stop()
    assert run.read_stop_request() == "save"
    run.request_stop("terminate")
    assert run.read_stop_request() == "terminate"
    run.clear_stop()
    assert run.read_stop_request() is None


def test_a_reused_pid_is_not_the_trainer(run: RunDirectory) -> None:
    run.write_process(ProcessIdentity.current())
    assert run.is_trainer_alive()
    itself = ProcessIdentity.current()
    for other in (
        msgspec.structs.replace(itself, create_time=itself.create_time - 60),
        msgspec.structs.replace(itself, boot="of another boot"),
    ):
        run.write_process(other)
        assert not run.is_trainer_alive()


def test_setting_the_clock_makes_nobody_another(run: RunDirectory) -> None:
    """WSL2 sets it after every sleep: so a process is known by a clock that nobody sets."""
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    identity = ProcessIdentity.from_pid(child.pid)
    assert identity is not None
    assert since_boot - 0.1 <= identity.create_time <= time.clock_gettime(time.CLOCK_BOOTTIME)
    child.communicate()
    assert ProcessIdentity.from_pid(child.pid) is None


def test_a_zombie_is_gone(run: RunDirectory) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    identity = ProcessIdentity.from_pid(child.pid)
    assert identity is not None
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


def test_what_a_killed_write_left_goes_once_nobody_can_be_writing_it(tmp_path: Path) -> None:
    old, fresh, other = tmp_path / ".config.json.x1.tmp", tmp_path / ".control.x2.tmp", tmp_path / "mine.tmp"
    for path in (old, fresh, other):
        path.write_text("half")
    os.utime(old, (1, 1))
    os.utime(other, (1, 1))
    clear_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {fresh.name, other.name}


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_not_read(run: RunDirectory, kind: str) -> None:
    """A pipe without a writer would hold the reader up for ever."""
    for path in (run.config, run.process, run.exit, run.control, run.events, run.log):
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
    with pytest.raises(OSError, match="not a file"):
        open_file(run.config)
    with pytest.raises(ConfigMissing, match=r"config\.json is not a file"):
        RunConfig.read(run.config)
    assert (run.read_process(), run.read_exit(), run.read_stop_request()) == (None, None, None)
    assert list(Tailer(run.events).slices()) == []
    assert sample_events(run.events) == []
    assert LogTail(run.log).poll() == []
    assert read_log_tail(run) == ()
