"""`chat --prompt` with a worker that never answers: it says so while it waits, gives up, and leaves no process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support.fake_interpreter import fake_interpreter
from support.fake_runs import make_run

from codex_tui.base import locations
from codex_tui.cli import main
from training.contract import events as ev
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.fixture
def run() -> Iterator[RunDirectory]:
    """A run, and at the end of the test the end of its worker."""
    run = make_run("a", ev.Started(attempt=1, pid=1))
    yield run
    if pid := read_pid(run):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def read_pid(run: RunDirectory) -> int | None:
    """The pid of the run's worker, once it has written it."""
    path = run.path / "worker.pid"
    text = path.read_text() if path.exists() else ""
    return int(text) if text else None


def start_chat(folder: Path, how: str, *options: str) -> subprocess.Popen[str]:
    python = fake_interpreter(folder, "silent_chat_worker", how)
    locations.settings_file().parent.mkdir(parents=True, exist_ok=True)
    locations.settings_file().write_text(f"[trainer]\npython = {json.dumps(str(python))}\n")
    command = [sys.executable, "-m", "codex_tui", "chat", "a", "--prompt", "Who?", "--base", *options]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # the tests may run under nohup
    )


def wait_until_gone(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while process.status() != psutil.STATUS_ZOMBIE:  # its parent may be gone, and nobody collects it
            time.sleep(0.02)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("how", "step"),
    [("start", "starting the worker"), ("ready", "waiting for the answer"), ("noise", "starting the worker")],
)
def test_a_worker_that_never_answers_is_ended_and_meanwhile_a_line_says_what_is_awaited(
    tmp_path: Path, run: RunDirectory, how: str, step: str
) -> None:
    output, said = start_chat(tmp_path, how, "--timeout", "3").communicate()
    assert output == ""
    assert step in said
    assert "codex-tui: The worker was ended: it sent nothing for 0:03." in said
    assert "codex-tui doctor" in said.splitlines()[-1]
    pid = read_pid(run)
    assert pid is not None
    wait_until_gone(pid)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("how", "number"),
    [("start", signal.SIGTERM), ("ready", signal.SIGHUP), ("pipe", signal.SIGTERM), ("pipe", signal.SIGKILL)],
)
def test_no_worker_outlives_the_command(tmp_path: Path, run: RunDirectory, how: str, number: signal.Signals) -> None:
    chat = start_chat(tmp_path, how)
    while (pid := read_pid(run)) is None:
        assert chat.poll() is None, chat.communicate()
        time.sleep(0.02)
    chat.send_signal(number)
    assert chat.wait() == -number
    chat.communicate()
    wait_until_gone(pid)


def test_a_limit_of_nothing_is_refused(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", run.name, "--prompt", "Who?", "--base", "--timeout", "0"]) == 2
    assert "--timeout 0 is too small" in capsys.readouterr().err
