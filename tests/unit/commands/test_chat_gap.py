"""`codex-tui chat --prompt` while the run trains: its trainer answers, or a worker while the run is parked."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fake_interpreter import fake_interpreter, name_in_settings
from support.fake_runs import make_run
from support.fake_trainer import FakeTrainer

from codex_tui.cli import main
from codex_tui.workers import room
from training.contract import events as ev
from training.contract.loan import list_loans
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    name_in_settings(fake_interpreter(tmp_path, "chat_worker"))
    monkeypatch.setattr(room, "has_room_beside", lambda run: False)
    run = make_run("a", ev.Started(attempt=1, pid=1), ev.Phase(name="training"), alive=True)
    run.write_keeper(ProcessIdentity.current())
    return run


@pytest.fixture
def trainer(run: RunDirectory) -> Iterator[FakeTrainer]:
    trainer = FakeTrainer(run)
    yield trainer
    trainer.end()


def test_the_trainer_answers(run: RunDirectory, trainer: FakeTrainer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "a", "--prompt", "who?", "--in-trainer"]) == 0
    assert capsys.readouterr().out == "WHO?\n"
    assert main(["chat", "a", "--prompt", "who?", "--in-trainer", "--base", "--temperature", "0.5"]) == 0
    assert [(request.adapter, request.temperature) for request in trainer.asked] == [(True, 0.0), (False, 0.5)]
    assert list(run.questions.iterdir()) == []


def test_an_answer_without_memory_fails(
    run: RunDirectory, trainer: FakeTrainer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["chat", "a", "--prompt", "no memory", "--in-trainer"]) == 1
    assert "No memory.\nAsk less." in capsys.readouterr().err


def test_before_the_first_checkpoint_it_offers_the_trainer(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(room, "has_room_beside", lambda run: True)
    assert main(["chat", "a", "--prompt", "who?"]) == 2
    error = capsys.readouterr().err
    assert "a has no adapter yet.\nAsk its trainer: add --in-trainer. Or ask the base model: codex-tui chat a" in error


def test_without_a_terminal_the_way_must_be_given(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chat", "a", "--prompt", "who?"]) == 2
    assert "a trains, and no second model is loaded beside it." in (error := capsys.readouterr().err)
    assert "--in-trainer" in error and "--park" in error


def test_on_a_terminal_it_asks(
    run: RunDirectory, trainer: FakeTrainer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter(["what?\n", "t\n", "c\n"])
    for stream in ("stdin", "stderr"):
        monkeypatch.setattr(f"codex_tui.commands.chat_way.sys.{stream}.isatty", lambda: True, raising=False)
    monkeypatch.setattr("codex_tui.commands.chat_way.sys.stdin.readline", lambda: next(answers), raising=False)
    assert main(["chat", "a", "--prompt", "who?"]) == 0
    assert capsys.readouterr().out == "WHO?\n"
    assert main(["chat", "a", "--prompt", "who?"]) == 1
    assert len(trainer.asked) == 1


def test_the_run_is_parked_for_the_answer(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    def park() -> None:
        while not list_loans(run):
            time.sleep(0.01)
        run.write_process(ProcessIdentity(os.getpid(), 1.0))

    keeper = threading.Thread(target=park)
    keeper.start()
    assert main(["chat", "a", "--prompt", "who?", "--park", "--base"]) == 0
    keeper.join()
    printed = capsys.readouterr()
    assert printed.out.endswith("WHO? 1 False\n")
    assert "a resumes." in printed.err
    assert not run.loans.exists()


def test_a_run_that_is_parked_already_stays_so(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    run.write_process(ProcessIdentity(os.getpid(), 1.0))
    assert main(["chat", "a", "--prompt", "who?", "--base"]) == 0
    printed = capsys.readouterr()
    assert printed.out.endswith("WHO? 1 False\n") and "resumes" not in printed.err
    assert not run.loans.exists()


def test_a_run_without_a_trainer_or_a_keeper_says_so(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    run.keeper.unlink()
    assert main(["chat", "a", "--prompt", "who?", "--park"]) == 2
    assert "a can't be parked: its keeper is gone." in capsys.readouterr().err
    run.write_process(ProcessIdentity(os.getpid(), 1.0))
    assert main(["chat", "a", "--prompt", "who?", "--in-trainer"]) == 2
    assert "a does not train now, so no trainer can answer." in capsys.readouterr().err
    assert main(["chat", "a", "--prompt", "who?", "--park", "--base"]) == 0  # nothing is there to park
    assert capsys.readouterr().out.endswith("WHO? 1 False\n")
