"""The chat pane: the first question loads the model, answers stream, and the worker ends with the pane."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from support.chat_pane import ask
from support.config_file import read_config, write_config
from support.fake_runs import append_events
from support.pilot import screen_text, settled, until

from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.chat import ChatPane
from codex_tui.ui.cockpit.question import Question
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.kit.text_search import SearchableText
from codex_tui.ui.messages import OpenRun
from codex_tui.ui.profiles.screen import ProfilesScreen
from codex_tui.workers import room
from training.contract import events as ev
from training.contract.config import RowForm

SIZE = (120, 36)


async def test_a_question_loads_and_is_answered(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert workers.started == []
        pane = await ask(pilot, "where to hold")
        await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended == "eos")
        await until(pilot, lambda: "8 tokens, 16 tokens/s" in screen_text(pilot.app))
        assert "› where to hold" in screen_text(pilot.app)
        assert "Hold the dock." in screen_text(pilot.app)
        await ask(pilot, "and then")
        await until(pilot, lambda: len(workers.started[0].sent) == 2)
        contents = [message["content"] for message in workers.started[0].sent[-1].messages]
        assert contents == ["where to hold", "Hold the dock.", "and then"]
        assert len(workers.started) == 1
    assert workers.started[0].closed


async def test_the_model_of_an_ended_run_loads_when_a_person_goes_to_the_question(
    make_run: Any, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "has_room_for_chat", lambda run: True)
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("c")
        pane = pilot.app.screen.query_one(ChatPane)
        await until(pilot, lambda: pane.conversation.status == "ready")
        assert workers.started[0].sent == []
        await until(pilot, lambda: "loads the model" not in screen_text(pilot.app))
        await pilot.press("h", "i", "enter")
        await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended == "eos")
        assert len(workers.started) == 1
    assert workers.started[0].closed


async def test_the_model_loads_when_the_run_ends_in_view(
    make_run: Any, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "has_room_for_chat", lambda run: True)
    run = make_run(end="training", steps=50)
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("c")
        assert workers.started == []
        append_events(run, ev.Done(step=50))
        run.process.unlink()
        await until(pilot, lambda: len(workers.started) == 1)


async def test_a_gpu_without_room_loads_only_for_a_question(
    make_run: Any, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "has_room_for_chat", lambda run: False)
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("c")
        pane = pilot.app.screen.query_one(ChatPane)
        await pilot.app.workers.wait_for_complete()
        assert workers.started == []
        await pilot.press("h", "i", "enter")
        await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended == "eos")


async def test_an_interpreter_that_only_the_run_names_is_told(make_run: Any, workers: Any) -> None:
    run = make_run()
    write_config(run, read_config(run) | {"python": sys.executable})
    async with CodexApp(run).run_test(size=(120, 60)) as pilot:
        await ask(pilot, "one")
        await until(pilot, lambda: "8 tokens, 16 tokens/s" in screen_text(pilot.app))
        assert "names another interpreter" in screen_text(pilot.app)
        assert "Hold the dock." in screen_text(pilot.app)


async def test_escape_stops_the_answer_and_keeps_it(make_run: Any, workers: Any) -> None:
    workers.ends_by_itself = False
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        pane = await ask(pilot, "go")
        await until(pilot, lambda: pane.conversation.turns[-1].text == "Hold the dock.")
        await pilot.press("escape")
        await until(pilot, lambda: pane.conversation.turns[-1].ended == "stopped")
        assert pane.conversation.turns[-1].text == "Hold the dock."
        await pilot.press("ctrl+l")
        await until(pilot, lambda: pane.conversation.turns == [])


async def test_letters_are_text_while_typing(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("c", "q", "s", "z")
        assert pilot.app.is_running
        assert "qsz" in screen_text(pilot.app)


async def test_a_missing_adapter_is_explained(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run(end="stopped", steps=20)).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await until(pilot, lambda: "The run saved no adapter" in screen_text(pilot.app))
    async with CodexApp(make_run(name="other", end="training", steps=20)).run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert "No adapter yet." in screen_text(pilot.app)
        await pilot.press("c", "ctrl+o")
        assert pilot.app.screen.query_one(ChatPane).conversation.use_adapter


async def test_a_checkpoint_that_answers_is_named_from_the_start(make_run: Any, workers: Any) -> None:
    run = make_run(end="stopped")
    async with CodexApp(run, pane="chat").run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "Checkpoint 200 answers: the run saved no adapter." in screen_text(pilot.app))
        await until(pilot, lambda: "Checkpoint 200 answers   " in screen_text(pilot.app))


async def test_escape_stops_the_answer_then_leaves_the_input_then_the_screen(make_run: Any, workers: Any) -> None:
    workers.ends_by_itself = False
    async with CodexApp().run_test(size=SIZE) as pilot:
        pilot.app.post_message(OpenRun(make_run()))
        await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))
        pane = await ask(pilot, "go")
        await until(pilot, lambda: "stop the answer" in screen_text(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: "leave chat" in screen_text(pilot.app))
        assert pane.query_one(Question).has_focus
        await pilot.press("escape")
        await until(pilot, lambda: pane.query_one(SearchableText).has_focus)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen))


async def test_questions_wait_while_the_model_loads_and_are_answered_one_after_the_other(
    make_run: Any, workers: Any
) -> None:
    workers.loads = False
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        pane = await ask(pilot, "one")
        await until(pilot, lambda: len(workers.started) == 1)
        await ask(pilot, "two")
        await ask(pilot, "three")
        assert [question.text for question in pane.conversation.waiting] == ["two", "three"]
        await until(pilot, lambda: screen_text(pilot.app).count("waits for the model") == 2)
        assert pane.query_one(Question).text == ""
        workers.started[0].be_ready()
        await until(pilot, lambda: [turn.ended for turn in pane.conversation.turns] == ["said", "eos"] * 3)
        asked = [[message["content"] for message in request.messages] for request in workers.started[0].sent]
        assert asked[2] == ["one", "Hold the dock.", "two", "Hold the dock.", "three"]
        await until(pilot, lambda: "waits" not in screen_text(pilot.app))


async def test_a_new_adapter_is_named_by_the_answers_that_it_gives(make_run: Any, workers: Any) -> None:
    run = make_run(end="stopped")
    workers.form = RowForm()
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        pane = await ask(pilot, "one")
        await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended)
        run.adapter.mkdir()
        (run.adapter / "adapter_config.json").write_text("{}")
        await ask(pilot, "two")
        await until(pilot, lambda: len(workers.started) == 2)
        await until(pilot, lambda: pane.conversation.turns[-1].ended == "eos")
        run.adapter.rename(run.path / "old")  # a resumed run saves another adapter in its place
        run.adapter.mkdir()
        (run.adapter / "adapter_config.json").write_text("{}")
        await ask(pilot, "three")
        await until(pilot, lambda: len(workers.started) == 3)


async def test_a_cut_conversation_says_so(make_run: Any, workers: Any) -> None:
    workers.left_out, workers.prompt_tokens = 4, 1792
    async with CodexApp(make_run(), pane="chat").run_test(size=SIZE) as pilot:
        pane = await ask(pilot, "one")
        text = pane.query_one(SearchableText)
        await until(pilot, lambda: "The first 4 messages did not fit into the model's context of 2,048" in text.plain)
        hint = "The conversation is longer than the rows it learned from (128 tokens)."
        assert hint in text.plain
        await ask(pilot, "two")
        await until(pilot, lambda: len(pane.conversation.turns) == 4 and pane.conversation.turns[-1].ended)
        await until(pilot, lambda: text.plain.count("did not fit") == 2)  # each answer lacks something else
        assert text.plain.count(hint) == 1  # it is said once
