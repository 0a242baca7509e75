"""The chat with an exported file: llama-server takes the place of the worker, and gives it back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.pilot import screen_text, settled, until

from codex_tui.base.errors import CodexError
from codex_tui.export import serving
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.chat import ChatPane
from codex_tui.workers.chat_models import FastModel
from training.contract.chat_messages import CHAT

SIZE = (120, 36)


@pytest.fixture
def fast(workers: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The servers that were started. They answer as the worker does."""
    kind = type("Servers", (workers,), {"started": []})
    model = FastModel("Q4_K_M", lambda: kind.start(Path("llama-server"), CHAT, Path("a.gguf")))
    monkeypatch.setattr(serving, "find_fast_model", lambda run: model)
    return kind


def notices(pilot: Any) -> list[str]:
    return [notification.message for notification in pilot.app._notifications]


async def ask(pilot: Any, text: str) -> ChatPane:
    await settled(pilot)
    pane: ChatPane = pilot.app.screen.query_one(ChatPane)
    pilot.app.screen.set_focus(None)
    await pilot.press("c", *text, "enter")
    await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended == "eos")
    return pane


async def test_the_exported_file_answers_and_the_worker_again(make_run: Any, workers: Any, fast: Any) -> None:
    async with CodexApp(make_run(), pane="chat").run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "ctrl+g Q4_K_M" in screen_text(pilot.app))
        pane = await ask(pilot, "one")
        assert (len(workers.started), len(fast.started)) == (1, 0)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: "Q4_K_M answers" in screen_text(pilot.app))
        assert workers.started[0].closed  # its memory is free before the other loads
        assert "ctrl+r" not in screen_text(pilot.app)
        await ask(pilot, "two")
        assert (len(workers.started), len(fast.started)) == (1, 1)
        assert [turn.by for turn in pane.conversation.turns if turn.role == "assistant"] == ["adapter", "Q4_K_M"]
        contents = [message["content"] for message in fast.started[0].sent[-1].messages]
        assert contents == ["one", "Hold the dock.", "two"]  # the conversation goes on
        await pilot.press("ctrl+o")  # the file has no base model
        assert pane.conversation.use_adapter
        await until(pilot, lambda: notices(pilot))
        assert notices(pilot)[0].startswith("The exported file has the adapter merged.")
        await pilot.press("ctrl+g")
        await until(pilot, lambda: fast.started[0].closed)
        await ask(pilot, "three")
        assert (len(workers.started), len(fast.started)) == (2, 1)
    assert workers.started[1].closed


async def test_the_server_ends_with_the_pane(make_run: Any, workers: Any, fast: Any) -> None:
    async with CodexApp(make_run(), pane="chat").run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "ctrl+g Q4_K_M" in screen_text(pilot.app))
        await pilot.press("ctrl+g")
        await ask(pilot, "one")
    assert fast.started[0].closed


async def test_a_file_that_is_older_than_the_adapter_is_told(
    make_run: Any, workers: Any, fast: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = serving.find_fast_model(None)._replace(is_older=True)  # type: ignore[arg-type, union-attr]
    monkeypatch.setattr(serving, "find_fast_model", lambda run: older)
    async with CodexApp(make_run(), pane="chat").run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "ctrl+g Q4_K_M" in screen_text(pilot.app))
        await pilot.press("ctrl+g")
        await until(pilot, lambda: "exported before the run saved its adapter" in screen_text(pilot.app))


async def test_without_an_export_the_command_is_named(
    make_run: Any, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(run: object) -> None:
        raise CodexError("The record is damaged.")

    monkeypatch.setattr(serving, "find_fast_model", refuse)
    async with CodexApp(make_run(name="guide"), pane="chat").run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: notices(pilot))
        assert notices(pilot)[0].endswith("Export one: codex-tui export guide --to gguf")
        assert "ctrl+g" not in screen_text(pilot.app)
        await ask(pilot, "one")
        assert len(workers.started) == 1
