"""The trainer's parent: a log without end is kept from filling the disk, and how the trainer ended is written down."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.kill import history
from support.programs import PROGRAMS

from training.contract import log as trainer_log
from training.contract.run_directory import RunDirectory
from training.history.columns import read_history
from training.history.recorder import Recorder


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


def test_the_history_of_a_long_run_is_recorded_to_its_end_under_any_name(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create()
    run.log.touch()
    attempt = history.start_attempt(run, steps=3000)
    while not run.history.exists():
        assert attempt.poll() is None
        time.sleep(0.002)
    renamed = RunDirectory(run.path.rename(tmp_path / "renamed"))
    assert attempt.wait() == 0
    recorded = read_history(renamed.history, renamed.events)
    assert recorded is not None
    assert recorded.offset == renamed.events.stat().st_size
    assert recorded.state.status == "done"
    assert len(recorded.state.losses) == 3000
    assert not history.find_difference(renamed)


def test_a_history_whose_writer_is_killed_tells_nothing_wrong(tmp_path: Path) -> None:
    rng, run = random.Random(7), RunDirectory(tmp_path / "run")
    run.create()
    run.log.touch()
    for number in range(5):
        history.kill_attempt(run, rng)
        if number == 2:
            history.tear(run.history, rng)
        assert not history.find_difference(run)


def test_a_history_that_cannot_be_written_leaves_the_record_of_the_end(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create()
    run.log.touch()
    run.history.mkdir()
    assert history.start_attempt(run, steps=500).wait() == 0
    assert json.loads(run.exit.read_text())["code"] == 0
    assert not history.find_difference(run)


def test_an_attempt_waits_until_the_one_before_has_recorded_its_end(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    run.create()
    run.log.touch()
    assert history.start_attempt(run, steps=300).wait() == 0
    before, size = Recorder(run.path), run.history.stat().st_size
    attempt = history.start_attempt(run, steps=3000)
    while run.events.stat().st_size < 5 * size and attempt.poll() is None:
        time.sleep(0.002)
    assert run.history.stat().st_size == size
    before.close()
    assert attempt.wait() == 0
    assert run.history.stat().st_size > size
    assert not history.find_difference(run)
