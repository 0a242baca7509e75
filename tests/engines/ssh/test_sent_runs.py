"""Runs that a real remote trains: sent, mirrored, fetched and deleted over ssh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.fake_interpreter import fake_interpreter
from support.kept_runs import until
from support.sent_runs import find_there, list_there, read_engine, record_fetches, status_of, train_with
from support.sshd import Box

from codex_tui import launcher, stopping
from codex_tui.base import locations
from codex_tui.cli import main
from codex_tui.engines.ssh.remote.remotes import Remote
from codex_tui.launch_plan import make_plan
from codex_tui.runs.fetching import read_progress
from codex_tui.runs.follower import snapshot
from training.contract.config import RunConfig
from training.contract.run_directory import RunDirectory


def test_a_run_is_sent_with_its_rows_and_stopped_and_its_results_come_back(
    run: RunDirectory, remote: Remote, profile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = find_there(run)
    config, config_there = RunConfig.read(run.config), RunConfig.read(there.config)
    assert there.path == Path(remote.root, "data", "runs", run.name)
    assert config.files == [str(profile.parent / "rows.jsonl")]
    [rows] = map(Path, config_there.files or [])
    assert rows.is_relative_to(remote.root) and rows.read_bytes() == (profile.parent / "rows.jsonl").read_bytes()
    assert config_there.profile["launch"]["engine"] == "local"
    until(lambda: status_of(run) == "training")
    there.adapter.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (there.adapter / name).write_bytes(os.urandom(300_000))
    fetched = record_fetches(monkeypatch)
    assert stopping.stop(run) == "save"
    assert snapshot(run).status in ("stopping", "training", "stopped")
    until(lambda: read_engine(run).status == "gone" or status_of(run) == "")
    assert snapshot(run).status == "stopped"
    for name in ("events.jsonl", "process.json", "exit.json", "adapter/adapter_model.safetensors"):
        assert (run.path / name).read_bytes() == (there.path / name).read_bytes(), name
    assert run.has_adapter() and not run.checkpoints.exists()
    assert fetched[0].step == "looking for results on box"
    assert any(each.step == "fetching adapter from box" and each.total == 600_000 for each in fetched), fetched
    assert read_progress(run) is None

    second = launcher.launch(make_plan(profile))
    assert RunConfig.read(find_there(second).config).files == [str(rows)]  # they were there already
    assert len(list(rows.parents[1].iterdir())) == 1


def test_a_run_that_ended_while_nobody_watched_is_caught_up(
    remote: Remote, profile: Path, box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    train_with(remote, fake_interpreter(box.home, "short_trainer", "20"))
    run = launcher.launch(make_plan(profile))
    there = find_there(run)
    until(lambda: there.events.exists() and b'"done"' in there.events.read_bytes() and not there.is_live())
    assert not run.events.exists()
    assert main(["runs", "--json"]) == 0
    [summary] = json.loads(capsys.readouterr().out)
    assert (summary["state"], summary["step"]) == ("done", 20)
    assert run.events.read_bytes() == there.events.read_bytes()
    assert (run.adapter / "adapter_model.safetensors").read_bytes() == (
        there.adapter / "adapter_model.safetensors"
    ).read_bytes()


def test_a_chat_waits_for_the_adapter(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    until(lambda: status_of(run) == "training")
    assert main(["chat", run.name, "--prompt", "Who?", "--in-trainer"]) == 2
    assert "is on box, where nobody can ask it from here" in capsys.readouterr().err
    assert main(["chat", run.name, "--prompt", "Who?"]) == 2
    assert "It comes here from the other machine at the end of the run." in capsys.readouterr().err


def test_a_run_is_deleted_here_or_everywhere(
    run: RunDirectory, remote: Remote, profile: Path, box: Box, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "rm", run.name, "--yes"]) == 2
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped")
    box.link.cut()
    assert main(["runs", "rm", run.name, "--yes", "--everywhere"]) == 1
    assert "box can't be reached" in capsys.readouterr().err
    assert run.path.exists()
    box.link.restore()
    assert main(["runs", "rm", run.name, "--yes", "--everywhere"]) == 0
    assert not run.path.exists() and not list_there(remote)

    other = launcher.launch(make_plan(profile))
    until(lambda: status_of(other) == "training")
    assert main(["runs", "rm", other.name, "--yes", "--here"]) == 2  # it trains
    box.link.cut()
    until(lambda: status_of(other) == "unreachable")
    capsys.readouterr()
    assert main(["runs", "rm", other.name, "--yes"]) == 2
    assert f"codex-tui runs rm {other.name} --here" in capsys.readouterr().err
    assert main(["runs", "rm", other.name, "--yes", "--here"]) == 0
    assert not other.path.exists() and list_there(remote)
    box.link.restore()


def test_the_command_follows_a_run_to_its_end_and_its_adapter(remote: Remote, profile: Path, box: Box) -> None:
    train_with(remote, fake_interpreter(box.home, "short_trainer", "150"))
    profile.write_text(profile.read_text().partition("[launch]")[0])
    done = subprocess.run(
        [sys.executable, "-m", "codex_tui", "train", str(profile), "--on", "box", "--headless"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [run] = map(RunDirectory, locations.runs_home().glob("[!.]*"))
    assert "done  150 steps" in done.stdout and f"Adapter: {run.adapter}" in done.stdout
    assert run.events.read_bytes() == find_there(run).events.read_bytes()


def test_the_queue_of_a_remote_is_listed(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    until(lambda: status_of(run) == "training")
    capsys.readouterr()
    assert main(["queue", "--on", "box"]) == 0
    assert "small-1  training" in capsys.readouterr().out
    assert main(["queue", "--on", "box", "--json"]) == 0
    [entry] = json.loads(capsys.readouterr().out)
    assert (entry["name"], entry["state"]) == ("small-1", "training")
    stopping.stop(run)
    until(lambda: status_of(run) == "stopped" and not find_there(run).is_live())
    capsys.readouterr()
    assert main(["queue", "--on", "box"]) == 0  # what it advises is a command for this machine
    assert "No run trains or waits on box. Queue one with: codex-tui train PROFILE --on box --queue" in (
        capsys.readouterr().out
    )
