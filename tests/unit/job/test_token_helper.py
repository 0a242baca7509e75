"""The process that tokenises while the trainer imports Unsloth: whatever it does, the trainer goes on by itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.dataset.records import Record
from training.dataset.shapes import Row, read_row
from training.job import token_helper
from training.job.token_helper import TokenHelper

Wait = Callable[[str], list[int]]
SLEEP = "echo $$ > pid; exec sleep 600"


@pytest.fixture
def wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wait:
    """Starts a helper that is a shell script, and waits for the tokens in "key.tokens". Returns the progress."""
    monkeypatch.chdir(tmp_path)

    def run(script: str) -> list[int]:
        program, heard = tmp_path / "helper", []
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
        monkeypatch.setattr("sys.executable", str(program))
        helper = TokenHelper(RunDirectory(tmp_path))
        helper.wait(tmp_path / "key.tokens", lambda done, detail: heard.append(done))
        return heard

    return run


def test_the_trainer_waits_for_its_tokens(wait: Wait, tmp_path: Path) -> None:
    script = 'echo "$@" > arguments; echo key.tokens; echo 256; sleep 0.1; printf 51; printf "2\\n"; touch key.tokens'
    assert wait(script) == [256, 512]
    assert (tmp_path / "key.tokens").exists()
    assert (tmp_path / "arguments").read_text() == f"-m training tokens {tmp_path}\n"


@pytest.mark.parametrize(
    "script",
    [
        f"echo other.tokens; echo 256; {SLEEP}",  # Unsloth has another tokenizer
        f"touch key.tokens; {SLEEP}",
        "exit 1",
        "echo key.tok",
        "kill -9 $$",
    ],
)
def test_it_does_not_wait_for_other_tokens_or_for_a_helper_that_has_failed(
    wait: Wait, tmp_path: Path, script: str
) -> None:
    assert wait(script) == []
    assert_ended(tmp_path)


def test_a_helper_that_is_killed_or_hangs_is_given_up(
    wait: Wait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wait("echo key.tokens; echo 256; kill -9 $$") == [256]
    monkeypatch.setattr(token_helper, "MAX_SILENT_SECONDS", 0.3)
    assert wait(f"sleep 0.1; {SLEEP}") == []
    assert_ended(tmp_path)


def assert_ended(folder: Path) -> None:
    if (folder / "pid").exists():
        assert not psutil.pid_exists(int((folder / "pid").read_text()))


def test_it_is_started_only_where_it_saves_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(token_helper.TokenHelper, "__init__", lambda self, run, cores: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})

    def starts(rows: Sequence[Row], **tables: dict[str, object]) -> bool:
        profile = Profile.model_validate({"model": {"name": "a/b"} | tables.pop("model", {}), **tables})
        return TokenHelper.start(RunDirectory(tmp_path), SimpleNamespace(profile=profile), rows) is not None

    short, long = (read_row(Record(0, 1, {"instruction": "Why?", "response": "x" * n})) for n in (100, 4_000))
    assert starts([short] * 16_000)
    assert starts([long] * 1_000)
    assert not starts([short] * 440)
    assert not starts([long] * 5_000)  # it would have much memory
    assert starts([short] * 16_000, model={"chat_template": "./own.jinja"})
    assert not starts([short] * 16_000, model={"chat_template": "chatml"})  # Unsloth alone has it
    assert not starts([short] * 16_000, launch={"processes": 2})  # these need both cores
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert not starts([short] * 16_000)


def test_a_helper_that_cannot_be_started_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "gone"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    job = SimpleNamespace(profile=Profile.model_validate({"model": {"name": "a/b"}}))
    row = read_row(Record(0, 1, {"instruction": "Why?", "response": "So."}))
    assert TokenHelper.start(RunDirectory(tmp_path), job, [row] * 16_000) is None
