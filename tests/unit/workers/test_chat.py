"""A conversation, with a small process in the place of the model."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.config_file import read_config, write_config
from support.fake_checkpoint import write_checkpoint
from support.fake_interpreter import fake_interpreter, name_in_settings

from codex_tui.workers.chat import Conversation
from codex_tui.workers.chat_settings import ChatSettings
from training.contract.config import RowForm
from training.contract.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    run = RunDirectory(tmp_path / "run")
    run.create()
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    write_config(run, {})
    name_in_settings(fake_interpreter(tmp_path, "chat_worker"))
    return run


@contextlib.asynccontextmanager
async def talking(run: RunDirectory) -> AsyncIterator[Conversation]:
    conversation = Conversation(run, lambda: None)
    try:
        yield conversation
    finally:
        await conversation.close()


async def until(reached: Callable[[], object]) -> None:
    while not reached():  # pytest-timeout ends a wait in vain
        await asyncio.sleep(0.01)


async def answer(conversation: Conversation, question: str) -> str:
    await conversation.ask(question)
    await until(lambda: conversation.turns[-1].ended)
    return conversation.turns[-1].text


def told(conversation: Conversation) -> tuple[str, str]:
    assert conversation.error is not None
    return conversation.error.message, conversation.error.hint


async def test_it_loads_with_the_first_question_and_remembers(run: RunDirectory) -> None:
    changes = []
    conversation = Conversation(run, lambda: changes.append((conversation.status, conversation.phase)))
    assert conversation.status == "off"
    assert await answer(conversation, "who?") == "WHO? 1 True"
    assert [status for status, _ in changes[:2]] == ["loading", "loading"]
    assert ("loading", "loading it") in changes
    assert conversation.status == "ready"
    assert conversation.device == "a card"
    last = conversation.turns[-1]
    assert (last.ended, last.tokens, last.seconds, last.by) == ("eos", 5, 0.25, "adapter")
    assert await answer(conversation, "and why?") == "AND WHY? 3 True"  # question, answer, question
    await conversation.toggle_adapter()
    assert await answer(conversation, "base?") == "BASE? 5 False"
    await conversation.clear()
    assert conversation.turns == []
    assert await answer(conversation, "again") == "AGAIN 1 False"
    await conversation.close()
    assert conversation.status == "off"


async def test_an_answer_is_stopped_and_what_is_there_stays(run: RunDirectory) -> None:
    async with talking(run) as conversation:
        await conversation.ask("forever")
        await until(lambda: conversation.turns[-1].text)
        await conversation.ask("next")  # one at a time
        assert len(conversation.turns) == 2
        await conversation.stop()
        await until(lambda: len(conversation.turns) == 4 and not conversation.busy)
        assert conversation.turns[1].ended == "stopped"
        assert conversation.turns[1].text.startswith("on and ")
        assert conversation.turns[3].text == "NEXT 3 True"


async def test_a_cleared_answer_leaves_nothing_behind(run: RunDirectory) -> None:
    async with talking(run) as conversation:
        await conversation.ask("forever")
        await until(lambda: conversation.turns[-1].text)
        await conversation.clear()
        await until(lambda: conversation.status == "ready")
        assert conversation.turns == []
        assert await answer(conversation, "next") == "NEXT 1 True"


async def test_a_failed_answer_is_not_the_end(run: RunDirectory) -> None:
    async with talking(run) as conversation:
        await answer(conversation, "break")
        assert conversation.turns[-1].ended == "failed"
        assert told(conversation) == ("That went wrong.", "Ask again.")
        assert conversation.status == "ready"
        assert (await answer(conversation, "next")).startswith("NEXT")


async def test_a_worker_that_died_is_told_and_started_anew(run: RunDirectory) -> None:
    async with talking(run) as conversation:
        await answer(conversation, "die")
        await until(lambda: conversation.status == "failed")
        message, hint = told(conversation)
        assert message == "The worker ended with exit code 1."
        assert "Out of memory." in hint
        await until(lambda: conversation._worker is None)
        assert (await answer(conversation, "next")).startswith("NEXT")
        assert conversation.error is None


async def test_an_adapter_that_came_since_is_loaded(run: RunDirectory) -> None:
    (run.adapter / "adapter_config.json").rename(run.path / "not yet")
    async with talking(run) as conversation:
        assert await answer(conversation, "early") == "EARLY 1 False"
        first = conversation._worker.pid
        (run.path / "not yet").rename(run.adapter / "adapter_config.json")
        assert await answer(conversation, "late") == "LATE 3 True"
        assert conversation._worker.pid != first


async def test_a_checkpoint_answers_where_there_is_no_adapter_and_is_called_so(run: RunDirectory) -> None:
    (run.adapter / "adapter_config.json").rename(run.path / "not yet")
    async with talking(run) as conversation:
        assert conversation.by == "base"
        assert not conversation.look()
        write_checkpoint(run.checkpoints, 1200)
        assert conversation.look()
        assert conversation.by == "checkpoint 1,200"
        assert await answer(conversation, "early") == "EARLY 1 True"
        assert (conversation.by, conversation.turns[-1].by) == ("checkpoint 1,200", "checkpoint 1,200")
        first = conversation._worker.pid
        assert await answer(conversation, "again") == "AGAIN 3 True"
        assert conversation._worker.pid == first
        (run.path / "not yet").rename(run.adapter / "adapter_config.json")
        assert await answer(conversation, "late") == "LATE 5 True"
        assert conversation.turns[-1].by == "adapter"


async def test_a_worker_killed_while_it_loads_failed_as_what_was_asked(run: RunDirectory) -> None:
    (run.path / "killed").touch()
    async with talking(run) as conversation:
        await answer(conversation, "who?")
        assert (conversation.turns[-1].ended, conversation.turns[-1].by) == ("failed", "adapter")
        message, hint = told(conversation)
        assert message == "The worker ended by signal SIGKILL."
        assert "memory" in hint


async def test_a_worker_that_can_not_load_the_model_says_why(run: RunDirectory) -> None:
    """The exit code that follows must not hide the reason."""
    (run.path / "no model").touch()
    async with talking(run) as conversation:
        await answer(conversation, "who?")
        await until(lambda: conversation._worker is None)
        assert told(conversation) == ("There is no such model.", "Check model.name.")
        assert (conversation.status, conversation.turns[-1].ended) == ("failed", "failed")
        (run.path / "no model").unlink()
        assert (await answer(conversation, "next")).startswith("NEXT")
        assert conversation.error is None


async def test_no_worker_outlives_a_conversation_that_was_left_while_it_started(run: RunDirectory) -> None:
    conversation = Conversation(run, lambda: None)
    asking = asyncio.create_task(conversation.ask("who?"))
    await asyncio.sleep(0)
    assert conversation.status == "loading"
    await conversation.close()
    await asking
    assert conversation._worker is None
    assert conversation.status == "off"


async def test_an_interpreter_that_is_gone_is_told(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    name_in_settings(Path("/nowhere/python"))
    write_config(run, {"python": "/nowhere/else/python"})
    async with talking(run) as conversation:
        await conversation.ask("who?")
        assert conversation.status == "failed"
        assert "/nowhere/python" in told(conversation)[0]
        assert conversation.turns[-1].ended == "failed"


async def test_questions_wait_their_turn(run: RunDirectory) -> None:
    async with talking(run) as conversation:
        await asyncio.gather(*(conversation.ask(text) for text in ("one", "break", "three")))
        await until(lambda: len(conversation.turns) == 6 and not conversation.busy)
        # The question that failed has no answer, so it is no part of the history.
        assert [turn.text for turn in conversation.turns[1::2]] == ["ONE 1 True", "", "THREE 3 True"]
        assert [turn.ended for turn in conversation.turns[1::2]] == ["eos", "failed", "eos"]
        assert conversation.error is None


async def test_questions_that_wait_outlive_a_worker(run: RunDirectory) -> None:
    async with talking(run) as conversation:
        await asyncio.gather(*(conversation.ask(text) for text in ("die", "two")))
        await until(lambda: conversation.status == "failed")
        await until(lambda: conversation._worker is None)
        assert [question.text for question in conversation.waiting] == ["two"]
        await conversation.ask("three")
        await until(lambda: len(conversation.turns) == 6 and not conversation.busy)
        assert [turn.text for turn in conversation.turns[1::2]] == ["", "TWO 1 True", "THREE 3 True"]


async def test_a_question_right_after_a_cleared_answer_is_answered(run: RunDirectory) -> None:
    async with talking(run) as conversation:
        await conversation.ask("forever")
        await until(lambda: conversation.turns[-1].text)
        await conversation.clear()
        assert await answer(conversation, "next") == "NEXT 1 True"


async def test_another_adapter_of_the_same_run_is_loaded(run: RunDirectory) -> None:
    """A run that was stopped has an adapter; when it is resumed and done, it has another one in the same folder."""
    async with talking(run) as conversation:
        assert await answer(conversation, "first") == "FIRST 1 True"
        first = conversation._worker.pid
        assert not conversation.outdated
        run.adapter.rename(run.path / "old")
        run.adapter.mkdir()
        (run.adapter / "adapter_config.json").write_text("{}")
        assert conversation.outdated
        assert await answer(conversation, "second") == "SECOND 3 True"
        assert conversation._worker.pid != first
        await conversation.toggle_adapter()
        await answer(conversation, "base")
        await conversation.toggle_adapter()
        await answer(conversation, "third")
        assert [turn.of_newer_adapter for turn in conversation.turns[1::2]] == [False, True, False, False]


async def test_the_form_of_the_rows_is_read_from_the_run(run: RunDirectory) -> None:
    """An older run has no row_form: then its profile tells the form."""
    config = read_config(run)
    for values, form in (
        ({}, RowForm()),
        ({"profile": {"dataset": {"system_prompt": "Be brief."}}}, RowForm(system_prompt="Be brief.")),
        ({"profile": {"dataset": {"system_prompt": "Be brief.", "text_column": "story"}}}, RowForm(text=True)),
        ({"profile": {"dataset": 3}}, RowForm()),
        ({"row_form": {"text": True, "max_tokens": 90}}, RowForm(text=True, max_tokens=90)),
        ({"row_form": {"text": "yes"}}, RowForm()),  # a damaged config.json, which the worker reports
    ):
        write_config(run, config | values)
        assert Conversation(run, lambda: None).form == form
    conversation = Conversation(run, lambda: None)
    write_config(run, config | {"row_form": {"system_prompt": "Be kind."}})
    assert conversation.look()  # the trainer has recorded it
    assert conversation.system_prompt == "Be kind."
    conversation.settings = ChatSettings(system_prompt=None)
    assert conversation.system_prompt is None
