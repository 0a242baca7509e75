"""The demo, trained by the real trainer of another machine, and asked here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support.fake_interpreter import name_in_settings
from support.kept_runs import until
from support.sshd import Box

from codex_tui.base import locations
from codex_tui.cli import main
from codex_tui.engines.ssh.remote.remotes import Remote
from codex_tui.engines.ssh.results import hash_files
from training.contract.run_directory import RunDirectory


def test_the_demo_is_trained_over_there_and_answers_here(
    remote: Remote, box: Box, trainer_python: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name_in_settings(trainer_python)
    command = [sys.executable, "-m", "codex_tui", "train", "demo", "--on", "box", "--name", "far", "--headless"]
    sets = ("training.max_steps=30", "checkpoints.save_steps=10")
    command += [part for value in sets for part in ("--set", value)]
    run = RunDirectory(locations.runs_home() / "far")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as viewer:
        until(lambda: viewer.poll() is not None or (run.events.exists() and b'"metrics"' in run.events.read_bytes()))
        box.kill_sessions()
        output, errors = viewer.communicate()
    assert viewer.returncode == 0, errors
    assert "done  30 steps" in output and f"Adapter: {run.adapter}" in output

    there = RunDirectory(Path(remote.root, "data", "runs", "far"))
    assert run.events.read_bytes() == there.events.read_bytes()
    assert run.log.read_bytes() == there.log.read_bytes()
    assert hash_files(run.adapter) == hash_files(there.adapter)
    assert there.checkpoints.exists() and not run.checkpoints.exists()
    capsys.readouterr()
    assert main(["chat", "far", "--prompt", "Which weapon first?", "--max-new-tokens", "3"]) == 0
    assert capsys.readouterr().out.strip()
