"""The trainer answers in the place of a chat worker, through the files of the run."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.config_file import write_config

from codex_tui.workers.chat import Conversation
from training.contract import questions
from training.contract.messages import AnswerBegin, AnswerEnd, ChatAnswer, Generate, Token, WorkerError, encode
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

ACTUAL = {"model": {"max_seq_length": 160}}


class FakeTrainer:
    """Answers each question of `run` as a trainer does, in a thread: with the last message in capital letters."""

    def __init__(self, run: RunDirectory) -> None:
        self.run, self.asked = run, list[Generate]()
        self.answers, self.ended = threading.Event(), threading.Event()
        self.answers.set()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self.ended.is_set():
            for name in questions.list_questions(self.run) if self.answers.is_set() else ():
                if question := questions.read_question(self.run, name):
                    self._answer(name, question.request)
            time.sleep(0.01)

    def _answer(self, name: str, request: Generate) -> None:
        self.asked.append(request)
        text = request.messages[-1]["content"]
        if text == "no memory":
            self.write(name, WorkerError(id=request.id, kind="gpu_memory", message="No memory.", hint="Ask less."))
        else:
            step = 7 if request.adapter else None
            self.write(name, AnswerBegin(id=request.id, tokens=9, step=step))
            self.write(name, Token(id=request.id, text=text.upper()))
            while text == "forever" and questions.question_path(self.run, name).exists():
                time.sleep(0.01)
            reason = "stopped" if text == "forever" else "eos"
            self.write(name, AnswerEnd(id=request.id, reason=reason, tokens=3, seconds=0.5))
        questions.finish(self.run, name)

    def write(self, name: str, message: ChatAnswer) -> None:
        with questions.answer_path(self.run, name).open("ab") as file:
            file.write(encode(message))

    def end(self) -> None:
        self.ended.set()
        self._thread.join()
        questions.delete_all(self.run)


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
