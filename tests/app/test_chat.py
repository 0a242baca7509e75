"""The chat pane: the first question loads the model, answers stream, and the worker ends with the pane."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from support.config_file import read_config, write_config
from support.fake_runs import append_events
from support.pilot import screen_text, settled, until

from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.chat import ChatPane
from codex_tui.ui.cockpit.question import Question
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.kit.text_search import SearchableText
from codex_tui.ui.messages import OpenRun
from codex_tui.ui.profiles.screen import ProfilesScreen
from codex_tui.workers import room
from training.contract import events as ev
from training.contract.config import RowForm

SIZE = (120, 36)


async def ask(pilot: Any, text: str) -> ChatPane:
    await settled(pilot)
    pane: ChatPane = pilot.app.screen.query_one(ChatPane)
    pilot.app.screen.set_focus(None)
    await pilot.press("c", *("space" if letter == " " else letter for letter in text), "enter")
    return pane


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


async def test_base_and_adapter_from_one_worker(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        pane = await ask(pilot, "one")
        await until(pilot, lambda: pane.conversation.status == "ready")
        await pilot.press("ctrl+o")
        await ask(pilot, "two")
        await until(pilot, lambda: len(workers.started[0].sent) == 2)
        assert [request.adapter for request in workers.started[0].sent] == [True, False]
        assert len(workers.started) == 1


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


async def test_the_base_model_learned_from_no_rows(make_run: Any, workers: Any) -> None:
    workers.prompt_tokens = 500
    async with CodexApp(make_run(), pane="chat", base=True).run_test(size=SIZE) as pilot:
        pane = await ask(pilot, "one")
        await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended)
        assert "longer than the rows" not in pane.query_one(SearchableText).plain


async def test_a_chat_can_start_with_the_base(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run(), pane="chat", base=True).run_test(size=SIZE) as pilot:
        pane = await ask(pilot, "hi")
        await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended)
        assert workers.started[0].sent[0].adapter is False
        assert pane.conversation.turns[-1].by == "base"


async def ask_both(pilot: Any, text: str = "") -> ChatPane:
    """Types `text` and presses the key that asks base and adapter."""
    await settled(pilot)
    pane: ChatPane = pilot.app.screen.query_one(ChatPane)
    pilot.app.screen.set_focus(None)
    await pilot.press("c", *("space" if letter == " " else letter for letter in text), "ctrl+r")
    return pane


def have_both_ended(pane: ChatPane) -> bool:
    turn = pane.conversation.turns[-1] if pane.conversation.turns else None
    return bool(turn and turn.other and turn.ended and turn.other.ended)


async def test_one_key_asks_both_models_and_shows_the_answers_side_by_side(make_run: Any, workers: Any) -> None:
    workers.base_answer = ["Hold ", "the roof."]
    async with CodexApp(make_run()).run_test(size=(200, 60)) as pilot:
        pane = await ask_both(pilot, "where to hold")
        await until(pilot, lambda: have_both_ended(pane))
        [worker] = workers.started
        assert [request.adapter for request in worker.sent] == [True, False]
        assert worker.sent[0].messages == worker.sent[1].messages
        await until(pilot, lambda: "│ Base" in screen_text(pilot.app))
        await until(pilot, lambda: "the others are underlined" in screen_text(pilot.app))
        [row] = [row for row in screen_text(pilot.app).split("\n") if "the dock." in row]
        assert row.index("Hold the dock.") < row.index("│ Hold the roof.")
        # The next question follows the first answer alone.
        await ask(pilot, "and then")
        await until(pilot, lambda: len(worker.sent) == 3)
        contents = [message["content"] for message in worker.sent[-1].messages]
        assert contents == ["where to hold", "Hold the dock.", "and then"]


async def test_answers_are_below_each_other_in_a_narrow_terminal(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run()).run_test(size=(80, 24)) as pilot:
        pane = await ask_both(pilot, "where")
        await until(pilot, lambda: have_both_ended(pane))
        await until(pilot, lambda: "The answers have the same words." in screen_text(pilot.app))
        rows = [row.strip() for row in screen_text(pilot.app).split("\n")]
        assert rows.index("Adapter") < rows.index("Base")
        assert rows.count("Hold the dock.") == 2


async def test_the_last_question_is_asked_of_the_other_model_too(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        pane = await ask_both(pilot)
        await until(pilot, lambda: "Type a question" in str([note.message for note in pilot.app._notifications]))
        assert workers.started == []
        await ask(pilot, "one")
        await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended == "eos")
        assert "ctrl+r" in pilot.app.screen.query_one(HintBar).keys
        await pilot.press("ctrl+r")
        await until(pilot, lambda: have_both_ended(pane))
        assert [request.adapter for request in workers.started[0].sent] == [True, False]
        assert pane.conversation.turns[-1].other.by == "base"
        # Both answers can be picked and copied.
        await pilot.press("escape", "left")
        await until(pilot, lambda: "▌ picked" in screen_text(pilot.app))
        assert pane._picked is pane.conversation.turns[-1].other
        await pilot.press("left", "y")
        await until(pilot, lambda: pilot.app.clipboard == "Hold the dock.")
        assert pane._picked is pane.conversation.turns[-1]


async def test_stop_ends_the_answer_and_asks_the_other_model_no_more(make_run: Any, workers: Any) -> None:
    workers.ends_by_itself = False
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        pane = await ask_both(pilot, "go")
        await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].text == "Hold the dock.")
        await pilot.press("escape")
        await until(pilot, lambda: pane.conversation.turns[-1].ended == "stopped")
        await until(pilot, lambda: pane.conversation.status == "ready")
        assert pane.conversation.turns[-1].other is None
        assert [request.adapter for request in workers.started[0].sent if hasattr(request, "adapter")] == [True]


async def test_without_an_adapter_there_is_only_one_model_to_ask(
    make_run: Any, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "has_room_beside", lambda run: True)
    async with CodexApp(make_run(end="training", steps=20)).run_test(size=SIZE) as pilot:
        await ask_both(pilot, "one")
        await until(pilot, lambda: "only the base model can" in str([n.message for n in pilot.app._notifications]))
        assert workers.started == []
        assert "ctrl+r" not in pilot.app.screen.query_one(HintBar).keys
