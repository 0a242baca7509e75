"""Runs that a remote trains, which is this machine seen through ssh: their fixtures, and where they are over there."""

from __future__ import annotations

import json
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from codex_tui import launcher
from codex_tui.base.progress import Progress
from codex_tui.engines.refresh import refresh
from codex_tui.engines.ssh.remote.app import RemoteApp
from codex_tui.engines.ssh.remote.remotes import Remote, add_remote
from codex_tui.launch_plan import make_plan
from codex_tui.runs import fetching
from codex_tui.runs.fetching import read_progress
from codex_tui.runs.follower import snapshot
from support.fake_interpreter import fake_interpreter
from support.kept_runs import until
from support.sshd import Box
from training.contract.engine import EngineRecord
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
