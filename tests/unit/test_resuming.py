"""Resuming a run, also by several viewers at once: real processes, with a stand-in for the interpreter that trains."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.config_file import read_config
from support.fake_interpreter import fake_interpreter, name_in_settings
from support.kept_runs import until
from support.launched_runs import kill_trainers, launch, start_resume, write_profile

from codex_tui import launcher
from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from codex_tui.engines import local
from training.contract.card_queue import CardQueue
from training.contract.run_directory import RunDirectory


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    kill_trainers()


@pytest.fixture
def python(home: Path, tmp_path: Path) -> Path:
    """An interpreter that the settings name."""
    python = fake_interpreter(tmp_path, "waiting_trainer", "obedient")
    name_in_settings(python)
    return python


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    return write_profile(tmp_path)


def log(run: RunDirectory) -> str:
    return run.log.read_text()


def test_a_resume_changes_the_deadline_and_refuses_one_that_is_past(
    home: Path, python: Path, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = launch(profile, python=python, until=2e9)
    started: list[int] = []
    monkeypatch.setattr(launcher, "_refuse_if_training", lambda run: None)
    monkeypatch.setattr(local.LocalEngine, "start", lambda self, run, start: started.append(start.attempt))
    launcher.resume(run)
    assert read_config(run)["until"] == 2e9
    launcher.resume(run, until=2.1e9)
    assert read_config(run)["until"] == 2.1e9
    launcher.resume(run, until=math.inf)
    assert "until" not in read_config(run)
    launcher.resume(run, until=1_000.0)
    with pytest.raises(BadInput, match="The deadline of small-1, 1970-01-01 ") as refused:
        launcher.resume(run)
    assert refused.value.hint == (
        "Train on with a later one: codex-tui resume small-1 --until +2h. Or with none: --until never"
    )
    assert len(started) == 4


def test_a_resumed_run_is_the_next_attempt_in_the_same_place(home: Path, python: Path, profile: Path) -> None:
    run = launch(profile, python=python)
    with pytest.raises(BadInput, match="is training already"):
        launcher.resume(run)
    until(lambda: "training" in log(run))
    run.request_stop("terminate")
    until(lambda: not run.is_trainer_alive())
    launcher.resume(run)
    identity = run.read_keeper()
    assert identity is not None and identity.is_alive()
    assert identity.attempt == 2
    assert run.read_stop_request() is None
    until(lambda: log(run).count("training") == 2)
    assert log(run).count("\n\n── attempt 2 ──\n") == 1 and "attempt 1" not in log(run)
    assert run.read_keeper() == identity


def test_of_two_that_start_at_once_the_one_that_trains_is_known(home: Path, python: Path, profile: Path) -> None:
    run = launch(profile, python=python)
    until(lambda: "training" in log(run))
    holder = run.read_process()
    lease = CardQueue.of_card(locations.runs_home(), "cpu").take("another viewer's")
    # Another viewer's, which looked before the first had said who it is.
    local.start_keeper(run, python, lease, attempt=2)
    until(lambda: "another process is training this run" in log(run))
    assert run.read_process() == holder
    assert run.is_trainer_alive()


def test_of_resumes_at_once_one_trains_and_the_others_are_refused(home: Path, python: Path, profile: Path) -> None:
    run = launch(profile, python=python)
    until(lambda: "training" in log(run))
    first = local._children[-1]
    first.kill()  # its locks die with it
    first.wait()
    viewers = [start_resume(run) for _ in range(4)]
    try:
        until(lambda: sum(viewer.poll() is not None for viewer in viewers) == 3)
        until(lambda: log(run).count("training") == 2)
        refused = [viewer for viewer in viewers if viewer.returncode is not None]
        assert [viewer.returncode for viewer in refused] == [2, 2, 2]
        for viewer in refused:
            assert viewer.stderr is not None and f"{run.name} is training already." in viewer.stderr.read()
        identity = run.read_process()
        assert identity is not None and (identity.attempt, identity.is_alive()) == (2, True)
        assert "another process" not in log(run)  # it did not even come to the trainer's own lock
    finally:
        run.request_stop("terminate")
        for viewer in viewers:
            viewer.kill()
            viewer.communicate()
        until(lambda: not run.is_trainer_alive())


def test_a_launcher_that_is_killed_while_it_starts_locks_nobody_out(home: Path, python: Path, profile: Path) -> None:
    run = launch(profile, python=python)
    until(lambda: "training" in log(run))
    run.request_stop("terminate")
    until(lambda: not run.is_trainer_alive())
    script = (
        "import fcntl, os, sys, time; fcntl.flock(os.open(sys.argv[1], 0), 2); print(1, flush=True); time.sleep(99)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None and holder.stdout.readline()
    viewer = start_resume(run)
    time.sleep(0.5)
    assert log(run).count("training") == 1  # it waits
    holder.kill()
    holder.wait()
    until(lambda: log(run).count("training") == 2)
    viewer.kill()
    viewer.communicate()
    run.request_stop("terminate")
    until(lambda: not run.is_trainer_alive())
