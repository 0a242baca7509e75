"""The text of the chat: what is typed, pasted, copied and searched, and the settings of the answers."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET
from support.pilot import screen_text, settled, until
from textual.events import Paste
from textual.widgets import Input

from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.chat import ChatPane
from codex_tui.ui.cockpit.chat_settings import ChatSettingsDialog, SystemPrompt
from codex_tui.ui.cockpit.question import Question
from codex_tui.ui.kit.text_search import SearchableText
from training.contract.config import RowForm

SIZE = (120, 36)
PIRATE = RowForm(system_prompt="You are a pirate.", max_tokens=128)
TEXT = RowForm(text=True, max_tokens=128)


async def open_chat(pilot: Any) -> tuple[ChatPane, Question]:
    await settled(pilot)
    pilot.app.screen.set_focus(None)
    await pilot.press("c")
    pane: ChatPane = pilot.app.screen.query_one(ChatPane)
    return pane, pane.query_one(Question)


async def ask(pilot: Any, pane: ChatPane, text: str) -> None:
    before = len(pane.conversation.turns)
    pane.query_one(Question).focus()
    await pilot.pause()
    pilot.app.post_message(Paste(text))
    await until(pilot, lambda: pane.query_one(Question).text)
    await pilot.press("enter")
    await until(pilot, lambda: len(pane.conversation.turns) > before and pane.conversation.turns[-1].ended == "eos")


def sent(workers: Any) -> Any:
    """The last request."""
    return workers.started[-1].sent[-1]


async def test_a_paste_keeps_all_its_lines(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        pane, question = await open_chat(pilot)
        pilot.app.post_message(
            Paste("first line\r\n\tsecond\rthird\x1b]0;OWNED\x07")
        )  # terminals send \\r for a line end
        await until(pilot, lambda: question.text)
        assert question.text == "first line\n\tsecond\nthird␛]0;OWNED␇"
        assert question.size.height == 3
        await pilot.press("enter")
        await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended)
        assert sent(workers).messages[-1]["content"] == "first line\n\tsecond\nthird␛]0;OWNED␇"
        assert question.size.height == 1
        await until(pilot, lambda: "› first line" in screen_text(pilot.app))
        assert "third␛]0;OWNED␇" in screen_text(pilot.app)


async def test_keys_break_the_line_and_enter_sends(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        pane, question = await open_chat(pilot)
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c", "alt+enter", "d")
        assert question.text == "a\nb\nc\nd"
        await pilot.press("enter")
        await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended)
        assert sent(workers).messages[-1]["content"] == "a\nb\nc\nd"
        await pilot.press("enter", "space", "enter")  # nothing to ask
        assert len(pane.conversation.turns) == 2


async def test_up_and_down_show_the_questions_of_the_session(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        pane, question = await open_chat(pilot)
        await pilot.press("up")
        assert question.has_focus
        for text in ("one", "two\nlines", "two\nlines"):
            await ask(pilot, pane, text)
        await pilot.press("d", "r", "a", "f", "t", "up")
        assert question.text == "two\nlines"
        await pilot.press("up")  # to its first line
        assert question.text == "two\nlines"
        await pilot.press("up")
        assert question.text == "one"
        await pilot.press("up")
        assert question.text == "one"
        await pilot.press("down")
        assert question.text == "two\nlines"
        await pilot.press("down")
        assert question.text == "draft"
        await pilot.press("down")
        assert question.text == "draft"


async def test_the_system_message_is_shown_and_edited_for_the_session(make_run: Any, workers: Any) -> None:
    workers.form = PIRATE
    run = make_run(form=PIRATE)
    before = run.config.read_text()
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        pane, _ = await open_chat(pilot)
        await until(pilot, lambda: "system  You are a pirate." in screen_text(pilot.app))
        await ask(pilot, pane, "one")
        assert sent(workers).system_prompt is UNSET
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatSettingsDialog))
        assert pilot.app.screen.query_one(SystemPrompt).text == "You are a pirate."
        await pilot.press("end", "space", "S", "i", "n", "g", ".", "enter", "N", "o", "w", ".", "ctrl+s")
        text = pane.query_one(SearchableText)
        await until(pilot, lambda: "system (edited)  You are a pirate. Sing.\nNow." in text.plain)
        await ask(pilot, pane, "two")
        assert sent(workers).system_prompt == "You are a pirate. Sing.\nNow."
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatSettingsDialog))
        await pilot.press("f7", "delete", "ctrl+s")
        await until(pilot, lambda: "system (edited)  no message" in text.plain)
        await ask(pilot, pane, "three")
        assert sent(workers).system_prompt is None
    assert run.config.read_text() == before


async def test_the_settings_of_the_answers_are_checked_and_sent(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        pane, _ = await open_chat(pilot)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatSettingsDialog))
        dialog = pilot.app.screen
        assert {field.id: field.value for field in dialog.query(Input)} == {
            "temperature": "0", "top_p": "1", "max_new_tokens": "256", "seed": ""
        }  # fmt: skip
        typed = {"temperature": "0.7", "top_p": "2", "max_new_tokens": "40", "seed": "7"}
        for name, value in typed.items():
            dialog.query_one(f"#{name}", Input).value = value
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "top_p 2: give a number above 0 and up to 1" in screen_text(pilot.app))
        dialog.query_one("#top_p", Input).value = "0.9"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "temperature 0.7, top_p 0.9, seed 7" in screen_text(pilot.app))
        await ask(pilot, pane, "one")
        request = sent(workers)
        assert (request.temperature, request.top_p, request.max_new_tokens, request.seed) == (0.7, 0.9, 40, 7)
        heading = "adapter · temperature 0.7, top_p 0.9, seed 7"
        await until(pilot, lambda: heading in pane.query_one(SearchableText).plain)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatSettingsDialog))
        pilot.app.screen.query_one("#seed", Input).value = "8"
        await pilot.press("escape")
        assert pane.conversation.settings.seed == 7


async def test_an_answer_is_copied(make_run: Any, workers: Any) -> None:
    workers.answer = ["Hold\n\tthe ", "dock.\x1b[31m "]
    async with CodexApp(make_run()).run_test(size=SIZE, notifications=True) as pilot:
        pane, _ = await open_chat(pilot)
        await ask(pilot, pane, "one")
        workers.answer = ["Go up."]
        await ask(pilot, pane, "two")
        await pilot.press("y")
        assert pane.query_one(Question).text == "y"
        await pilot.press("escape", "y")
        assert pilot.app.clipboard == "Go up."
        await pilot.press("left", "left", "y")
        assert pilot.app.clipboard == "Hold\n\tthe dock.␛[31m"
        await until(pilot, lambda: screen_text(pilot.app).count("▌ picked") == 1)
        await pilot.press("right", "right", "y")
        assert pilot.app.clipboard == "Go up."


async def test_the_conversation_is_searched(make_run: Any, workers: Any) -> None:
    workers.answer = ["\n".join(f"line {number}" for number in range(40))]
    async with CodexApp(make_run(), pane="chat").run_test(size=SIZE) as pilot:
        pane, question = await open_chat(pilot)
        for text in ("one", "two"):
            await ask(pilot, pane, text)
        await pilot.press("escape", "slash", *"LINE", "space", "5")
        await until(pilot, lambda: "2 matches of “LINE 5”" in screen_text(pilot.app))
        text = pane.query_one(SearchableText)
        assert "line 5" in screen_text(pilot.app)
        top = text._top
        await pilot.press("enter", "n")
        assert text.has_focus
        await until(pilot, lambda: text._top < top and "line 5" in screen_text(pilot.app))
        await pilot.press("N")
        await until(pilot, lambda: text._top > top - 10)
        await pilot.press("escape")
        await until(pilot, lambda: "matches of" not in screen_text(pilot.app))
        assert text.has_focus
        await pilot.press("slash", *"nowhere")
        await until(pilot, lambda: "0 matches of “nowhere”" in screen_text(pilot.app))
        await pilot.press("escape", "c")
        assert question.has_focus


async def test_a_run_on_plain_text_continues_the_text(make_run: Any, workers: Any) -> None:
    workers.form = TEXT
    async with CodexApp(make_run(form=TEXT), pane="chat").run_test(size=SIZE) as pilot:
        pane, question = await open_chat(pilot)
        await until(pilot, lambda: "This run learned plain text." in screen_text(pilot.app))
        assert "Adapter continues the text" in screen_text(pilot.app)
        assert "Enter continue" in screen_text(pilot.app)
        await pilot.press(*"Which", "space", "enter")
        await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended)
        assert [message["content"] for message in sent(workers).messages] == ["Which "]
        await pilot.press("enter")
        await until(pilot, lambda: len(pane.conversation.turns) == 3 and pane.conversation.turns[-1].ended)
        assert [message["content"] for message in sent(workers).messages] == ["Which ", "Hold the dock."]
        await pilot.press(*"New", "enter")
        await until(pilot, lambda: len(pane.conversation.turns) == 5 and pane.conversation.turns[-1].ended)
        assert [message["content"] for message in sent(workers).messages] == ["New"]
        workers.answer = []  # the text has ended
        await pilot.press("enter")
        await until(pilot, lambda: "(empty answer)" in pane.query_one(SearchableText).plain)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatSettingsDialog))
        assert not pilot.app.screen.query(SystemPrompt)
        await pilot.press("escape")
        workers.left_out = 300
        await pilot.press("enter")
        await until(
            pilot, lambda: "The first 300 tokens of the text did not fit" in pane.query_one(SearchableText).plain
        )
        assert question.has_focus
