"""The commands `park` and `resume` of a held run, and what every command shows of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.config_file import write_config
from support.fake_runs import as_json, make_run
from support.kept_runs import until
from support.programs import PROGRAMS

from codex_tui.base import locations
from codex_tui.cli import main
from codex_tui.runs.follower import snapshot
from training.contract import events as ev
from training.contract.control import Request
from training.contract.run_directory import RunDirectory

PARKED = ev.Held(state="parked", reason="blender uses 2,100 MiB.", ends="It goes on when blender has ended.", step=120)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path))


@pytest.fixture
def run(home: None) -> Iterator[RunDirectory]:
    """A run of 200 steps that trains under the real keeper."""
    run = RunDirectory(locations.runs_home() / "a")
    run.create()
    write_config(run, {"version": 1, "profile": {}, "dataset": "demo:zombie_waves"})
    run.log.touch()
    with subprocess.Popen([sys.executable, PROGRAMS / "parking_trainer.py", run.path, "200"]) as keeper:
        until(lambda: snapshot(run).status == "training")
        yield run
        if keeper.poll() is None:
            run.request_stop("terminate")


def test_park_waits_until_the_card_is_free_and_resume_brings_the_run_back(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["park", "a"]) == 0
    assert not run.is_trainer_alive()
    step = snapshot(run).state.step
    assert capsys.readouterr().out == f"a is parked at step {step}. Bring it back with: codex-tui resume a\n"
    assert main(["park", "a"]) == 0
    assert capsys.readouterr().out.startswith("a is parked at step")
    assert main(["resume", "a", "--headless"]) == 0
    out = capsys.readouterr().out
    assert f"\nparked  step {step}  You lent the card. {ev.BY_HAND}\nattempt 2, from step {step}\n" in out
    assert "done  200 steps" in out


def test_park_says_so_when_the_run_has_ended_meanwhile(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    trainer = run.read_process()
    assert trainer is not None
    os.kill(trainer.pid, signal.SIGSTOP)
    parking = subprocess.Popen(
        [sys.executable, "-m", "codex_tui", "park", "a"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    until(lambda: run.read_stop_request() == "park")
    os.kill(trainer.pid, signal.SIGKILL)
    out, err = parking.communicate()
    assert (parking.returncode, err) == (1, "")
    assert out.startswith("a is not parked but lost: Killed at step")


def test_a_headless_viewer_follows_a_parked_run_to_its_end(run: RunDirectory) -> None:
    viewer = subprocess.Popen(
        [sys.executable, "-m", "codex_tui", "attach", "a", "--headless"], stdout=subprocess.PIPE, text=True
    )
    run.request_stop("park", "blender uses the card.")
    until(lambda: snapshot(run).status == "parked" and run.read_request() is None)
    run.write_request(Request("resume"))
    out, _ = viewer.communicate()
    assert "blender uses the card." in out and "attempt 2, from step" in out and "done  200 steps" in out
    assert out.index("parked") < out.index("attempt 2") < out.index("done")


def test_every_held_state_is_listed_with_its_reason_and_what_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    for state in ("queued", "parked", "waiting", "healing"):
        make_run(state, ev.Started(attempt=1, pid=1), ev.Held(state=state, reason="Why.", ends="When."), kept=True)
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    for state in ("queued", "parked", "waiting", "healing"):
        assert any(line.split()[:2] == [state, state] and line.endswith("Why. When.") for line in out.splitlines()), out
    make_run("last-1", ev.Started(attempt=1, pid=1), PARKED, kept=True)
    assert main(["runs", "--json"]) == 0
    entry = next(one for one in as_json(capsys) if one["name"] == "last-1")  # type: ignore[attr-defined]
    since = entry["held"].pop("since")
    assert time.time() - since < 60
    assert entry["state"] == "parked" and entry["reason"] == PARKED.reason
    assert entry["held"] == {"reason": PARKED.reason, "ends": PARKED.ends, "step": 120, "until": None}


def test_a_parked_run_without_a_keeper_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    make_run("a", ev.Started(attempt=1, pid=1), PARKED)
    assert main(["attach", "a", "--headless"]) == 1
    assert "lost: It was parked at step 120, and its keeper is gone." in capsys.readouterr().out
    assert main(["park", "a"]) == 2
    assert "a is not training." in capsys.readouterr().err


def test_the_commands_that_change_a_run_name_its_state(capsys: pytest.CaptureFixture[str]) -> None:
    make_run("a", ev.Started(attempt=1, pid=1), PARKED, kept=True)
    for command in (["rm", "a", "--yes"], ["rename", "a", "b"], ["clean", "a", "--yes"]):
        assert main(["runs", *command]) == 2
        assert capsys.readouterr().err == "codex-tui: a is parked.\nEnd it first: codex-tui stop a\n"
