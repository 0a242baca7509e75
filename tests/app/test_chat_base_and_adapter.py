"""The chat pane asks the base model, the adapter, or both, and shows their answers side by side."""

from __future__ import annotations

from typing import Any

import pytest
from support.chat_pane import ask
from support.pilot import screen_text, until

from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.chat import ChatPane
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.kit.text_search import SearchableText
from codex_tui.workers import room

SIZE = (120, 36)


async def test_base_and_adapter_from_one_worker(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        pane = await ask(pilot, "one")
        await until(pilot, lambda: pane.conversation.status == "ready")
        await pilot.press("ctrl+o")
        await ask(pilot, "two")
        await until(pilot, lambda: len(workers.started[0].sent) == 2)
        assert [request.adapter for request in workers.started[0].sent] == [True, False]
        assert len(workers.started) == 1


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
    return await ask(pilot, text, "ctrl+r")


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
