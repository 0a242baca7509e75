"""Real runs: the training environment, and the demo."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.training_runs import Talk, Trainer, demo_profile

from codex_tui.base.errors import EnvironmentMissing
from codex_tui.base.progress import ignore_progress
from codex_tui.environment.llama_cpp import LlamaCpp, ensure_llama_cpp
from training.contract.run_directory import RunDirectory


@pytest.fixture(scope="session")
def trainer(trainer_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    return Trainer(trainer_python, tmp_path_factory.mktemp("trainer"))


@pytest.fixture(scope="session")
def program_trainer(trainer: Trainer) -> Trainer:
    """Starts each trainer and each worker as a new program, as the app does."""
    return replace(trainer, is_new_program=True)


@pytest.fixture(scope="session")
def demo(program_trainer: Trainer, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """The demo. It is trained once for all workers of pytest-xdist. Each has a copy, with what else the trainer left in
    its working directory."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with (folder / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shared = Trainer(program_trainer.python, folder / "demo", is_new_program=True)
        run = RunDirectory(shared.folder / "demo")
        if not run.path.exists():
            shared.folder.mkdir()
            run = shared.run("demo", demo_profile())
            shared.train(run)
    assert run.has_adapter(), run.log.read_text()
    return RunDirectory(shutil.copytree(shared.folder, program_trainer.folder / "demo") / run.name)


@pytest.fixture(scope="session")
def llama_cpp(trainer_python: Path) -> LlamaCpp:
    """The real llama.cpp; installed where the person's own would be, so once for all sessions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CODEX_TUI_HOME", raising=False)
        try:
            return ensure_llama_cpp(ignore_progress)
        except EnvironmentMissing as error:
            pytest.skip(f"llama.cpp can't be installed here: {error.message}")


@pytest.fixture
def talk(trainer: Trainer) -> Iterator[Callable[..., Talk]]:
    """Starts workers that end with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, cache: Path | None = None) -> Talk:
        user = replace(trainer, cache=cache or trainer.cache)
        process = user.start(*arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        started.append(process)
        return Talk(process)

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
