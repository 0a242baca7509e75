"""The program that keeps the machine awake: started, replaced if it is refused, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.config_file import write_config

from training.contract.power import SleepInhibitor
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.keeper import sleep
from training.keeper.run_config import read_config
from training.keeper.sleep import REFUSED_WITHIN_SECONDS, SleepGuard
from training.keeper.watchers import Moment

# It writes its pid as soon as it runs, and ends when its stdin closes, as systemd-inhibit with cat does.
HOLDER = "import os, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); sys.stdin.read()"
KEEPER = """
import sys, time
from training.contract.power import SleepInhibitor
from training.keeper.sleep import SleepGuard
guard = SleepGuard(SleepInhibitor("systemd-logind", (tuple(sys.argv[1:]),)))
guard.hold()
time.sleep(600)
"""


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def read_pids(path: Path) -> list[int]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [int(line) for line in lines]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "pids"


@pytest.fixture
def holder(log: Path) -> tuple[str, ...]:
    return (sys.executable, "-S", "-E", "-c", HOLDER, str(log))


def test_holds_until_it_is_released(log: Path, holder: tuple[str, ...]) -> None:
    guard = SleepGuard(SleepInhibitor("systemd-logind", (holder,)))
    guard.hold()
    wait_until(lambda: read_pids(log))
    guard.hold()  # it looks after the same program
    (pid,) = read_pids(log)
    identity = ProcessIdentity.from_pid(pid)
    assert guard.holds and identity is not None and identity.is_alive()
    guard.release()
    assert not guard.holds and not identity.is_alive()
    guard.release()
    guard.hold()
    wait_until(lambda: len(read_pids(log)) == 2)  # for the next attempt
    guard.release()


def test_a_killed_keeper_leaves_no_machine_awake(log: Path, holder: tuple[str, ...]) -> None:
    keeper = subprocess.Popen([sys.executable, "-c", KEEPER, *holder])
    try:
        wait_until(lambda: read_pids(log))
        (pid,) = read_pids(log)
        identity = ProcessIdentity.from_pid(pid)
        assert identity is not None and str(Path(f"/proc/{pid}/cwd").readlink()) == "/"
    finally:
        keeper.kill()
        keeper.wait()
    wait_until(lambda: not identity.is_alive())


def test_a_program_that_is_refused_is_replaced_once(log: Path, holder: tuple[str, ...]) -> None:
    refused = (sys.executable, "-S", "-E", "-c", "raise SystemExit('Access denied')")
    guard = SleepGuard(SleepInhibitor("systemd-logind", (refused, holder)))
    guard.hold()
    wait_until(lambda: (guard.hold(), read_pids(log))[1])
    assert guard.holds
    guard.release()
    nobody = SleepGuard(SleepInhibitor("systemd-logind", (refused, ("/does/not/exist",))))
    nobody.hold()
    wait_until(lambda: (nobody.hold(), not nobody.holds)[1])
    nobody.hold()
    assert not nobody.holds


def test_a_program_that_someone_ended_later_is_started_again(log: Path, holder: tuple[str, ...]) -> None:
    now = [0.0]
    guard = SleepGuard(SleepInhibitor("Windows", (holder,)), clock=lambda: now[0])
    guard.hold()
    wait_until(lambda: read_pids(log))
    now[0] = REFUSED_WITHIN_SECONDS + 1
    os.kill(read_pids(log)[0], signal.SIGTERM)
    wait_until(lambda: (guard.hold(), len(read_pids(log)) == 2)[1])
    assert guard.holds
    guard.release()


@pytest.mark.parametrize("inhibits", [True, False])
def test_the_machine_may_sleep_while_the_run_is_held(
    inhibits: bool, tmp_path: Path, log: Path, holder: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(tmp_path / "zombie-1")
    run.create()
    write_config(run, {"profile": {"keeper": {"inhibit_sleep": inhibits}}})
    monkeypatch.setattr(sleep, "find_sleep_inhibitor", lambda why, wsl: SleepInhibitor("systemd-logind", (holder,)))
    watcher = sleep.SleepWatcher(run, read_config(run))
    training, held = Moment(run, 0.0, 0.0, 4711, 1), Moment(run, 0.0, 0.0, None, 1)
    for moment in (held, training):
        watcher.look(moment)
        assert watcher.guard.holds is (inhibits and moment is training)
    watcher.look(held)
    assert not watcher.guard.holds


def test_a_way_to_windows_that_is_gone_is_not_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """WSL_INTEROP leads to the socket of a terminal's process; the socket may stay when the terminal is closed."""
    shows = ("/bin/sh", "-c", 'echo "way $WSL_INTEROP" >> "$0"; read line', str(tmp_path / "ways"))
    gone, present = f"/run/WSL/{1 << 22}_interop", f"/run/WSL/{os.getpid()}_interop"
    for number, way in enumerate((gone, present), 1):
        monkeypatch.setenv("WSL_INTEROP", way)
        guard = SleepGuard(SleepInhibitor("Windows", (shows,)))
        guard.hold()
        wait_until(lambda: (tmp_path / "ways").exists() and (tmp_path / "ways").read_text().count("\n") == number)  # noqa: B023
        guard.release()
    assert (tmp_path / "ways").read_text() == f"way \nway {present}\n"


def test_nothing_is_held_where_the_system_has_no_such_program() -> None:
    guard = SleepGuard(None)
    guard.hold()
    assert not guard.holds
    guard.release()
