"""The program that tells the person: started detached, one at a time, and of no harm to its owner."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from training.contract import tell
from training.contract.tell import Teller

APPEND = """
import os, signal, sys, time
mask, ignored = signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
open(sys.argv[1], "a").write(f"{sys.argv[3]} {os.getsid(0) == os.getpid()} {bool(mask)} {ignored}\\n")
time.sleep(float(sys.argv[2]))
"""


def make_teller(monkeypatch: pytest.MonkeyPatch, *command: str) -> Teller:
    monkeypatch.setenv(tell.VARIABLE, json.dumps(command))
    return Teller()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_program_at_a_time_in_a_session_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, gate = tmp_path / "written", 0.3
    teller = make_teller(monkeypatch, sys.executable, "-c", APPEND, str(written), str(gate))
    monkeypatch.setattr(signal, "pthread_sigmask", signal.pthread_sigmask)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        teller.tell(Path("/runs/a"))
        first = teller._pid
        for _ in range(3):  # all three are one more look at the run
            teller.tell(Path("/runs/b"))
            assert teller._pid == first
    finally:
        signal.signal(signal.SIGHUP, hangup)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def is_told_and_reaped() -> bool:
        teller.poll()
        return not teller._pid and written.read_text().count("\n") == 2

    wait_for(is_told_and_reaped)
    assert written.read_text() == "/runs/a True False False\n/runs/b True False False\n"
    with pytest.raises(ChildProcessError):  # no zombie is left
        os.waitpid(first, os.WNOHANG)


def test_a_program_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = tmp_path / "written"
    teller = make_teller(monkeypatch, sys.executable, "-c", APPEND, str(written), "600")
    teller.tell(Path("/runs/a"))
    wait_for(written.exists)
    monkeypatch.setattr(tell, "MAX_SECONDS", 0.0)
    teller.poll()
    assert teller._pid == 0


def test_the_last_notice_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = tmp_path / "written"
    teller = make_teller(monkeypatch, sys.executable, "-c", APPEND, str(written), "1")
    teller.tell(Path("/runs/a"))
    teller.tell(Path("/runs/b"))
    teller.finish()
    wait_for(lambda: written.exists() and written.read_text().count("\n") == 2)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[]", '["/no/such/program"]', "not JSON"])
def test_without_a_program_nothing_happens(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tell.VARIABLE, text)
    teller = Teller()
    teller.tell(Path("/runs/a"))
    teller.poll()
    teller.finish()
    assert teller._pid == 0
