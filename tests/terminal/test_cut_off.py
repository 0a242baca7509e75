"""A link that is cut in the middle of training: the run goes on, and whoever comes back sees all of it."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from support.fake_interpreter import fake_interpreter
from support.kill.connections import (
    LocalTerminal,
    SshTerminal,
    TmuxTerminal,
    events,
    find_viewers,
    last_step,
    sshd,
    stall,
    steps,
    wait_until,
)
from support.terminal import TRAINING_PATIENCE, Terminal

from codex_tui.runs.follower import RunFollower
from training.contract.run_directory import RunDirectory

MAX_GROWTH = 32 * 2**20  # bytes that an app may take while nobody reads it
STALL_SECONDS = 8.0  # no step of the trainer takes that long, unless it waits for the app


@pytest.fixture
def steady(home: Path) -> Path:
    """An interpreter whose trainer logs 20 steps a second until it is stopped."""
    return fake_interpreter(home, "steady_trainer")


@pytest.fixture
def ssh(home: Path, tmp_path: Path) -> Iterator[SshTerminal]:
    with sshd(tmp_path) as (listener, options):
        yield SshTerminal(home, tmp_path, listener, options)


@pytest.fixture(params=["terminal", "tmux", "ssh"])
def way(request: pytest.FixtureRequest, home: Path, tmp_path: Path) -> LocalTerminal:
    if request.param == "ssh":
        return request.getfixturevalue("ssh")
    if request.param == "tmux" and not shutil.which("tmux"):
        pytest.skip("there is no tmux on this machine")
    return LocalTerminal(home, tmp_path) if request.param == "terminal" else TmuxTerminal(home, tmp_path)


def assert_complete(run: RunDirectory) -> None:
    """No event is missing, no step, and a viewer knows each of them."""
    seen = events(run)
    assert [event["seq"] for event in seen] == list(range(len(seen)))
    assert steps(run) == list(range(1, last_step(run) + 1))
    follower = RunFollower(run)
    while not follower.complete:
        follower.poll(1.0)
    assert len(follower.watched.state.losses) == last_step(run)
    assert follower.watched.missing_events == follower.watched.damaged_lines == 0


def end(run: RunDirectory, codex_tui: str) -> None:
    subprocess.run([codex_tui, "stop", run.name], check=True)
    wait_until(lambda: not run.is_trainer_alive())


def test_a_run_outlives_what_it_was_started_in(way: LocalTerminal, steady: Path, home: Path, codex_tui: str) -> None:
    run = RunDirectory(home / "data" / "runs" / "cut")
    with way.open([codex_tui, "train", "demo", "--name", "cut", "--python", str(steady)]) as first:
        first.until(r"step\s+[1-9]\d+ / ")
        drawn, seen = first.dots, first.step
        assert find_viewers(home)
        way.cut(first)
    wait_until(lambda: not find_viewers(home))  # no app is left behind
    at = last_step(run)
    assert run.is_trainer_alive() and at >= seen
    wait_until(lambda: last_step(run) >= at + 20)
    with way.open([codex_tui, "attach"]) as second:
        second.until(rf"cut\b(.*\n)*.*step\s+(?!{seen} )[1-9]\d+ / ")
        assert second.step >= at
        second.until_drawn(drawn // 2)  # the curve from its start; its scale is another by now
        end(run, codex_tui)
        second.until("■ stopped")
        assert second.step == last_step(run)
        second.type("q")
    assert_complete(run)


def test_a_real_run_outlives_its_link(ssh: SshTerminal, home: Path, codex_tui: str) -> None:
    run = RunDirectory(home / "data" / "runs" / "demo-1")
    with ssh.open([codex_tui, "demo", "--set", "training.num_train_epochs=3"]) as first:
        first.until(r"training(.*\n)*.*step\s+[1-9]", timeout=TRAINING_PATIENCE)
        seen = first.step
        first.type("?")
        first.until("low bandwidth")  # by itself, over SSH
        ssh.cut(first)
    assert run.is_trainer_alive()
    with ssh.open([codex_tui, "attach"]) as second:
        second.until(r"demo-1(.*\n)*.*step\s+[1-9]")
        assert second.step >= seen
        second.until("✓ done", timeout=TRAINING_PATIENCE)
        second.type("q")
    assert_complete(run)
    assert last_step(run) == events(run)[-1]["step"]


def test_a_terminal_that_stops_reading(steady: Path, home: Path, tmp_path: Path, codex_tui: str) -> None:
    run = RunDirectory(home / "data" / "runs" / "cut")
    with LocalTerminal(home, tmp_path).open(
        [codex_tui, "train", "demo", "--name", "cut", "--python", str(steady), "--no-low-bandwidth"]
    ) as terminal:
        terminal.until(r"step\s+[1-9]\d+ / ")
        stalled = stall(terminal, run, seconds=STALL_SECONDS, min_steps=40)  # until the app could write no more
        assert stalled.peak_memory - stalled.start_memory < MAX_GROWTH  # it kept nothing back without end,
        assert stalled.last_step >= stalled.first_step + 40  # and the trainer took no notice
        terminal.until_step(stalled.last_step)
        terminal.type("q")
        assert terminal.wait() == 0
    end(run, codex_tui)
    assert_complete(run)
    times = [event["time"] for event in events(run) if event["type"] == "metrics"]
    assert max(after - before for before, after in itertools.pairwise(times)) < STALL_SECONDS  # of 0.05


def test_an_app_that_ignores_hangups_ends_with_its_terminal(home: Path, codex_tui: str) -> None:
    """As after `nohup`. Otherwise the app waits for keys that never come, and uses half a core."""
    with Terminal(["sh", "-c", f"trap '' HUP; exec {codex_tui}"], env={"CODEX_TUI_HOME": str(home)}) as terminal:
        terminal.until(r"Profiles")
        app = psutil.Process(terminal.pid)
        terminal.close()
        wait_until(lambda: not app.is_running() or app.status() == psutil.STATUS_ZOMBIE)
