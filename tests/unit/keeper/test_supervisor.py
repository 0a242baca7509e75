"""The trainer's parent: a log without end is kept from filling the disk, and how the trainer ended is written down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.programs import PROGRAMS

from training.contract import log as trainer_log
from training.contract.run_directory import RunDirectory


def test_a_trainer_that_prints_in_a_loop(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create()
    descriptor = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    looping = subprocess.run([sys.executable, PROGRAMS / "noisy_trainer.py", run.path], stdout=descriptor, check=False)
    os.close(descriptor)
    assert looping.returncode == 7
    assert json.loads((run.path / "exit.json").read_text())["code"] == 7
    assert run.log.stat().st_size <= 2**20  # of 9 MB
    lines = run.log.read_bytes().splitlines()
    assert lines[0].startswith(b"000000 ") and lines[-1].startswith(b"199999 ")
    assert sum(b"left out" in line for line in lines) == 1


@pytest.mark.parametrize("ends", [b"\n", b""])
def test_the_first_and_the_last_part_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bytes) -> None:
    for name, size in (("MAX_LOG_BYTES", 1000), ("BYTES_KEPT_AT_START", 100), ("BYTES_KEPT_AT_END", 300)):
        monkeypatch.setattr(trainer_log, name, size)
    log = tmp_path / "trainer.log"
    text = b"".join(b"line %03d\n" % number for number in range(111))
    log.write_bytes(text)
    trainer_log.trim_log(log)
    assert log.read_bytes() == text  # 999 bytes: as it was
    log.write_bytes(text + b"line 111" + ends)
    trainer_log.trim_log(log)
    kept = log.read_bytes()
    assert kept.startswith(text[:100]) and kept.endswith(b"\nline 110\nline 111" + ends)
    assert b"left out" in kept and len(kept) < 500


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (40, "40")])
def test_any_signal_that_ended_the_trainer_is_written_down(tmp_path: Path, number: int, name: str) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create()
    run.log.touch()
    ended = subprocess.run([sys.executable, PROGRAMS / "killed_trainer.py", run.path, str(number)], check=False)
    assert ended.returncode == 128 + number
    assert json.loads((run.path / "exit.json").read_text())["signal"] == name
