"""A run directory that was copied from somebody else names no program that is started here."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.config_file import read_config, write_config
from support.fake_interpreter import fake_interpreter, name_in_settings

from codex_tui import launcher
from codex_tui.base import locations
from codex_tui.base.errors import EnvironmentMissing
from codex_tui.cli import main
from codex_tui.engines import local
from codex_tui.workers.chat import Conversation
from codex_tui.workers.client import WorkerClient
from codex_tui.workers.inspect import RowReader
from training.contract.run_directory import RunDirectory

EVIL = "data/runs/shared/evil"  # as seen from the home, where a person often stands


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without settings, which is the working directory too."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    locations.runs_home().mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def shared(home: Path) -> RunDirectory:
    """A copied run. Its config.json names a program in its own folder."""
    run = RunDirectory(locations.runs_home() / "shared")
    run.create()
    write_config(run, {"profile": {"model": {"name": "demo:llama"}}, "python": EVIL})
    evil = run.path / "evil"
    evil.write_text(f"#!/bin/sh\necho run >> {home / 'evil.log'}\n")
    evil.chmod(0o700)
    return run


@pytest.fixture
def trainer(home: Path, tmp_path: Path) -> Iterator[Path]:
    """The interpreter of this person's settings; it waits in place of the training."""
    python = fake_interpreter(tmp_path, "waiting_trainer", "obedient")
    name_in_settings(python)
    yield python
    for child in local._children:
        child.kill()
        child.wait()


@pytest.fixture
def chatter(home: Path, tmp_path: Path) -> Path:
    python = fake_interpreter(tmp_path, "chat_worker")
    name_in_settings(python)
    return python


def evil_was_started(home: Path) -> bool:
    return (home / "evil.log").exists()


def test_chat_starts_the_interpreter_of_the_settings(
    home: Path, shared: RunDirectory, chatter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", "shared", "--base", "--prompt", "hi"]) == 0
    said = capsys.readouterr()
    assert said.out.endswith("HI 1 False\n")
    assert f"config.json of shared names another interpreter, {EVIL}" in said.err
    assert "--python" in said.err and str(locations.settings_file()) in said.err
    assert not evil_was_started(home)


def test_without_an_interpreter_of_this_person_nothing_is_started(
    home: Path, shared: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", "shared", "--base", "--prompt", "hi"]) == 3
    error = capsys.readouterr().err
    assert "codex-tui setup" in error and EVIL in error and str(locations.settings_file()) in error
    assert main(["resume", "shared", "--headless"]) == 3
    assert not evil_was_started(home)


def test_resume_starts_the_interpreter_of_the_settings(
    home: Path,
    shared: RunDirectory,
    trainer: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("codex_tui.commands.train._watch", lambda *_: 0)
    assert main(["resume", "shared", "--headless"]) == 0
    assert f"names another interpreter, {EVIL}" in capsys.readouterr().err
    while "training" not in shared.log.read_text():
        time.sleep(0.01)
    assert not evil_was_started(home)


@pytest.mark.parametrize("client", [Conversation, lambda run, on_change: RowReader(run, on_change, lambda _: None)])
async def test_chat_pane_and_data_screen_start_the_interpreter_of_the_settings(
    home: Path,
    shared: RunDirectory,
    chatter: Path,
    monkeypatch: pytest.MonkeyPatch,
    client: Callable[[RunDirectory, Callable[[], None]], WorkerClient[object, object]],
) -> None:
    worker = client(shared, lambda: None)
    await worker.start()
    assert EVIL in worker.notice
    await worker.close()
    assert not evil_was_started(home)


def test_the_interpreter_of_the_settings_needs_no_remark(
    home: Path, shared: RunDirectory, chatter: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for recorded in (str(chatter), "", "/on/another/machine/bin/python"):
        write_config(shared, read_config(shared) | {"python": recorded})
        assert main(["chat", "shared", "--base", "--prompt", "hi"]) == 0
        assert capsys.readouterr().err == ""


def test_the_option_python_counts_more_than_the_settings(
    home: Path, shared: RunDirectory, chatter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name_in_settings(tmp_path / "none")
    assert main(["chat", "shared", "--base", "--prompt", "hi"]) == 3
    assert main(["chat", "shared", "--base", "--prompt", "hi", "--python", str(chatter)]) == 0
    assert main(["chat", "shared", "--base", "--prompt", "hi"]) == 3  # it counts for its own command alone


@pytest.mark.parametrize("name", ["trainer.log", "events.jsonl", "lock"])
def test_a_link_in_a_run_appends_to_no_other_file(
    home: Path, shared: RunDirectory, trainer: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copied run may hold a link to a file that a shell executes, such as ~/.bashrc."""
    startup = home / ".bashrc"
    startup.write_text("# mine\n")
    with contextlib.suppress(FileNotFoundError):
        (shared.path / name).unlink()
    (shared.path / name).symlink_to(startup)
    assert main(["resume", "shared", "--headless"]) != 0
    assert f"{name} is a link" in capsys.readouterr().err
    assert startup.read_text() == "# mine\n"


def test_the_cache_is_this_person_s(home: Path, shared: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unsloth puts a folder of the cache into sys.path, so a run must not choose it."""
    from codex_tui.workers.process import trainer_environment
    from training.job.job import read_job

    write_config(shared, read_config(shared) | {"cache": str(shared.path)})
    for name, value in trainer_environment().items():
        monkeypatch.setitem(os.environ, name, value)
    assert read_job(shared.path).cache == locations.cache_home()


def test_a_python_that_puts_the_run_directory_into_its_path_is_refused(
    home: Path, shared: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before 3.11, Python ignores PYTHONSAFEPATH: `-m training` would take modules from the working directory."""
    old = fake_interpreter(tmp_path, "chat_worker", version="3.10.14")
    name_in_settings(old)
    assert main(["chat", "shared", "--base", "--prompt", "hi"]) == 3
    assert f"{old} is Python 3.10.14; the trainer needs 3.11 or newer" in capsys.readouterr().err
    assert main(["setup"]) == main(["doctor"]) == 3
    assert "3.10.14" in capsys.readouterr().out


def test_settings_can_not_name_a_program_of_the_working_directory(
    home: Path, shared: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    name_in_settings(Path(EVIL))
    assert main(["chat", "shared", "--base", "--prompt", "hi"]) == 2
    assert "line 2" in capsys.readouterr().err
    with pytest.raises(EnvironmentMissing):
        locations.settings_file().unlink()
        launcher.resume(shared)
    assert not evil_was_started(home)
