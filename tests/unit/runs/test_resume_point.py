"""Tests that a resume says from which step it continues, and starts no trainer if it can't continue."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.config_file import write_config
from support.fake_checkpoint import write_checkpoint

from codex_tui import launcher
from codex_tui.base import locations
from codex_tui.base.errors import BadInput, CodexError
from codex_tui.cli import main
from codex_tui.engines import local
from codex_tui.runs.resume_point import NoWholeCheckpoint
from training.contract.files import open_to_append
from training.contract.run_directory import RunDirectory


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run without a trainer."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))
    run = RunDirectory(locations.runs_home() / "ended")
    run.create()
    write_config(run, {"profile": {"model": {"name": "demo:llama"}, "dataset": {"path": "demo:zombie-waves"}}})
    return run


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the runs for which a trainer would have been started."""
    started: list[str] = []
    monkeypatch.setattr("codex_tui.environment.build.find_python", lambda: Path(sys.executable))
    monkeypatch.setattr(local.LocalEngine, "start", lambda self, run, start: started.append(run.name))
    return started


def test_it_continues_from_the_last_whole_checkpoint(ended: RunDirectory, started: list[str]) -> None:
    write_checkpoint(ended.checkpoints, 10)
    flipped = write_checkpoint(ended.checkpoints, 20) / "optimizer.pt"
    flipped.write_bytes(flipped.read_bytes().replace(b"statestate", b"statEstate", 1))
    point = launcher.resume(ended)
    assert point == (10, "The checkpoint of step 20 is damaged (optimizer.pt).")
    assert point.start == "from step 10"
    assert started == ["ended"]


def test_without_checkpoints_it_starts_over(ended: RunDirectory, started: list[str]) -> None:
    assert launcher.resume(ended) == (0, "")
    assert started == ["ended"]


def test_to_start_over_after_damage_needs_an_option(
    ended: RunDirectory,
    started: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = write_checkpoint(ended.checkpoints, 20) / "adapter_model.safetensors"
    with pytest.raises(BadInput, match="has a whole checkpoint at step 20"):
        launcher.resume(ended, from_start=True)
    os.truncate(weights, weights.stat().st_size - 1)
    with pytest.raises(NoWholeCheckpoint, match=r"step 20 is damaged \(adapter_model.safetensors\)") as refused:
        launcher.resume(ended)
    assert "codex-tui resume ended --from-start" in refused.value.hint
    assert not started and main(["resume", "ended"]) == 4  # which a remote's answer is recognised by
    monkeypatch.setattr("codex_tui.commands.train._watch", lambda *_: 0)
    assert main(["resume", "ended", "--from-start"]) == 0
    assert "step 20 is damaged (adapter_model.safetensors). ended continues from the start." in capsys.readouterr().err
    assert started == ["ended"]


@pytest.mark.parametrize("name", ["lock", "trainer.log", "events.jsonl"])
def test_a_pipe_instead_of_a_file_is_named(ended: RunDirectory, started: list[str], name: str) -> None:
    os.mkfifo(ended.path / name)
    with pytest.raises(CodexError, match=f"{name} is not a file"):
        launcher.resume(ended)
    assert not started
    with pytest.raises(OSError, match="not a file"):
        open_to_append(ended.path / name)  # a pipe that appears later blocks nobody
