"""Runs that the launcher starts from a small profile, with a stand-in for the interpreter that trains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from codex_tui import launcher
from codex_tui.engines import local
from codex_tui.launch_plan import make_plan
from training.contract.run_directory import RunDirectory


def write_profile(folder: Path) -> Path:
    """A profile of the demo model, and its rows."""
    path = folder / "small.toml"
    path.write_text('[model]\nname = "demo:llama"\n[dataset]\npath = "rows.jsonl"\n')
    (folder / "rows.jsonl").write_text('{"instruction": "Who?", "response": "Rook."}\n')
    return path


def launch(profile: Path, python: Path, **choices: Any) -> RunDirectory:
    return launcher.launch(make_plan(profile, **choices), python)


def kill_trainers() -> None:
    """Kill the trainers that this process has started."""
    for child in local._children:
        child.kill()
        child.wait()


def start_resume(run: RunDirectory) -> subprocess.Popen[str]:
    """Type `codex-tui resume RUN --headless`."""
    return subprocess.Popen(
        [sys.executable, "-m", "codex_tui", "resume", run.name, "--headless"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
