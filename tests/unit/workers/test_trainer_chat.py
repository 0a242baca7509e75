"""The trainer answers in the place of a chat worker, through the files of the run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.config_file import write_config
from support.fake_trainer import FakeTrainer

from codex_tui.workers.chat import Conversation
from training.contract import questions
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

ACTUAL = {"model": {"max_seq_length": 160}}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    run = RunDirectory(tmp_path / "run")
    run.create()
    write_config(run, {"actual": ACTUAL})
    run.write_process(ProcessIdentity.current())
    return run


@pytest.fixture
def trainer(run: RunDirectory) -> Iterator[FakeTrainer]:
    trainer = FakeTrainer(run)
    yield trainer
    trainer.end()


async def until(reached: Callable[[], object]) -> None:
    while not reached():  # pytest-timeout ends a wait in vain
        await asyncio.sleep(0.01)


async def talk_to_trainer(run: RunDirectory) -> Conversation:
    conversation = Conversation(run, lambda: None)
    await conversation.ask_in_trainer(True)
    return conversation


async def test_a_conversation_with_adapter_and_base(run: RunDirectory, trainer: FakeTrainer) -> None:
    chat = await talk_to_trainer(run)
    assert chat.by == "adapter"  # although the run has saved none
    await chat.ask("who?")
    await until(lambda: chat.turns[-1].ended)
    assert (chat.turns[-1].text, chat.turns[-1].by, chat.turns[-1].tokens) == ("WHO?", "adapter at step 7", 3)
    await chat.ask("both?", of_both=True)
    await until(lambda: not chat.busy)
    first, other = chat.turns[-1].answers
    assert (first.by, other.by) == ("adapter at step 7", "base")
    contents = [[message["content"] for message in request.messages] for request in trainer.asked]
    assert contents == [["who?"], ["who?", "WHO?", "both?"], ["who?", "WHO?", "both?"]]
    assert [request.adapter for request in trainer.asked] == [True, True, False]
    assert chat.context == 160
    await chat.close()
    assert list(run.questions.iterdir()) == []


async def test_the_wait_for_a_step_is_told(run: RunDirectory, trainer: FakeTrainer) -> None:
    trainer.answers.clear()
    chat = await talk_to_trainer(run)
    chat.describe_wait = lambda: "waits for the end of the step, about 0:40"
    await chat.ask("who?")
    await until(lambda: chat.wait == "waits for the end of the step, about 0:40")
    trainer.answers.set()
    await until(lambda: chat.turns[-1].ended)
    assert chat.wait == ""
    await chat.close()


async def test_a_question_is_withdrawn_before_and_in_the_answer(run: RunDirectory, trainer: FakeTrainer) -> None:
    chat = await talk_to_trainer(run)
    await chat.ask("forever")
    await until(lambda: chat.turns[-1].text)
    await chat.stop()
    await until(lambda: chat.turns[-1].ended == "stopped")
    assert chat.turns[-1].text == "FOREVER"
    trainer.answers.clear()
    await chat.ask("not yet")
    await until(lambda: questions.list_questions(run))
    await chat.stop()
    await until(lambda: chat.turns[-1].ended == "stopped")
    assert questions.list_questions(run) == []
    await chat.ask("and then this")
    trainer.answers.set()
    await until(lambda: chat.turns[-1].text == "AND THEN THIS")
    assert [request.messages[-1]["content"] for request in trainer.asked] == ["forever", "and then this"]
    await chat.close()


async def test_a_failed_answer_is_not_the_end(run: RunDirectory, trainer: FakeTrainer) -> None:
    chat = await talk_to_trainer(run)
    await chat.ask("no memory")
    await until(lambda: chat.turns[-1].ended == "failed")
    assert chat.error and (chat.error.message, chat.error.hint) == ("No memory.", "Ask less.")
    await chat.ask("again")
    await until(lambda: chat.turns[-1].text == "AGAIN")
    await chat.close()


async def test_a_trainer_that_ends_is_told(run: RunDirectory, trainer: FakeTrainer) -> None:
    trainer.answers.clear()
    chat = await talk_to_trainer(run)
    await chat.ask("who?")
    await until(lambda: questions.list_questions(run))
    trainer.end()
    await until(lambda: chat.status == "failed")
    assert chat.error and chat.error.message == "The trainer ended before it answered."
    run.write_process(ProcessIdentity(os.getpid(), 1.0))
    await chat.ask("again")
    await until(lambda: chat.error and chat.error.message == "No trainer runs, so none can answer.")
    assert not run.questions.exists()
    await chat.ask_in_trainer(False)
    assert (chat.by, chat.in_trainer, chat.status) == ("base", False, "off")


async def test_a_killed_trainer_is_told(run: RunDirectory, trainer: FakeTrainer) -> None:
    trainer.answers.clear()
    chat = await talk_to_trainer(run)
    await chat.ask("who?")
    await until(lambda: questions.list_questions(run))
    run.write_process(ProcessIdentity(os.getpid(), 1.0))
    await until(lambda: chat.status == "failed")
    assert questions.list_questions(run) == []


async def test_a_conversation_that_is_too_long_is_refused(run: RunDirectory, trainer: FakeTrainer) -> None:
    chat = await talk_to_trainer(run)
    await chat.ask("x" * questions.MAX_BYTES)
    await until(lambda: chat.error)
    assert chat.error and chat.error.message == "The conversation is too long for the trainer."
