"""The program that tells the person: detached, without the signals of its owner, and of no harm to it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from training.contract import tell
from training.contract.run_directory import RunDirectory

WRITE = """
import os, signal, sys
mask, ignored = signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
facts = [sys.argv[2], os.listdir("/proc/self/fd"), os.getcwd(), os.getsid(0) != int(sys.argv[1]), bool(mask), ignored]
open(sys.argv[3], "w").write(" ".join(map(str, facts)))
"""


def test_the_program_is_nobodys_child_and_has_its_own_signals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, part = tmp_path / "written $HOME;", tmp_path / "part"
    program = f"{WRITE}\nos.rename(sys.argv[3], {str(written)!r})"
    command = [sys.executable, "-c", program, str(os.getsid(0)), "a b", str(part)]
    monkeypatch.setenv(tell.VARIABLE, json.dumps(command))
    children = psutil.Process().children()  # of earlier tests
    place, _ = os.pipe()
    os.set_inheritable(place, True)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    hangup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        tell.tell(RunDirectory("/runs/a"))
    finally:
        signal.signal(signal.SIGHUP, hangup)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    deadline = time.monotonic() + 60
    while not written.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert written.read_text() == "a b ['0', '1', '2', '3'] / True False False"  # the list itself is 3
    assert not {*psutil.Process().children()} - {*children}


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[]", '["/no/such/program"]', '["a\\u0000"]', "not JSON"])
def test_without_a_program_nothing_happens(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tell.VARIABLE, text)
    tell.tell(RunDirectory("/runs/a"))
