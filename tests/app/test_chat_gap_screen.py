"""The chat pane while its run trains on a card that holds one model: in the trainer, or with the card of a parked
run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from support import fake_forecast
from support.fake_runs import append_events
from support.fake_trainer import FakeTrainer
from support.pilot import screen_text, settled, until

from codex_tui.base import locations
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.chat import ChatPane
from codex_tui.ui.cockpit.question import Question
from codex_tui.ui.kit.dialogs import Confirm, Options
from codex_tui.workers import room
from training.contract import events as ev
from training.contract.loan import list_loans
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

SIZE = (120, 36)
GONE = ProcessIdentity(os.getpid(), 1.0)


@pytest.fixture
def run(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run that trains, with its keeper, on a card of 4 GB."""
    monkeypatch.setattr(room, "forecast_resources", fake_forecast.forecast_resources)
    run: RunDirectory = make_run(end="training", steps=50)
    run.write_keeper(ProcessIdentity.current())
    return run


@pytest.fixture
def trainer(run: RunDirectory) -> Iterator[FakeTrainer]:
    trainer = FakeTrainer(run)
    yield trainer
    trainer.end()


async def type_question(pilot: Any, text: str, key: str = "enter") -> ChatPane:
    await settled(pilot)
    pane: ChatPane = pilot.app.screen.query_one(ChatPane)
    pilot.app.screen.set_focus(None)
    await pilot.press("c", *("space" if letter == " " else letter for letter in text), key)
    return pane


async def choose(pilot: Any, key: str) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, Options))
    await pilot.press(key)


def end_trainer(run: RunDirectory) -> None:
    """What the trainer and the keeper do when a chat borrows the card."""
    append_events(run, ev.Held(state="parked", reason="A chat uses the card.", ends="It is left.", step=50))
    run.write_process(GONE)


async def park(pilot: Any, run: RunDirectory, text: str = "who") -> ChatPane:
    pane = await type_question(pilot, text)
    await choose(pilot, "p")
    await until(pilot, lambda: list_loans(run))
    await until(pilot, lambda: "The run saves, and its process ends" in screen_text(pilot.app))
    end_trainer(run)
    await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended == "eos")
    return pane


async def test_the_first_question_asks_how_and_the_trainer_answers(
    run: RunDirectory, trainer: FakeTrainer, workers: Any
) -> None:
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        pane = await type_question(pilot, "who")
        await until(pilot, lambda: isinstance(pilot.app.screen, Options))
        await until(
            pilot, lambda: "zombies-1 trains, and no second model is loaded beside it." in screen_text(pilot.app)
        )
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, Options))
        assert pane.query_one(Question).text == "who"  # nothing is lost
        await pilot.press("enter")
        await choose(pilot, "t")
        await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended == "eos")
        await until(pilot, lambda: "adapter at step 7" in screen_text(pilot.app))
        assert "Adapter answers in the trainer" in screen_text(pilot.app)
        await type_question(pilot, "and then")  # it asks how only once
        await until(pilot, lambda: pane.conversation.turns[-1].text == "AND THEN")
        await type_question(pilot, "both", "ctrl+r")
        await until(pilot, lambda: len(trainer.asked) == 4 and not pane.conversation.busy)
        assert [request.adapter for request in trainer.asked] == [True, True, True, False]
        assert workers.started == []
    assert not run.loans.exists()


async def test_the_wait_for_the_step_is_shown_and_a_question_is_withdrawn(
    run: RunDirectory, trainer: FakeTrainer, workers: Any
) -> None:
    trainer.answers.clear()
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        pane = await type_question(pilot, "who")
        await choose(pilot, "t")
        await until(pilot, lambda: "The answer waits for the end of the step, about 0:01" in screen_text(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: pane.conversation.turns[-1].ended == "stopped")
        trainer.answers.set()
        await type_question(pilot, "again")
        await until(pilot, lambda: pane.conversation.turns[-1].text == "AGAIN")
        assert len(trainer.asked) == 1


async def test_the_run_is_parked_for_a_chat_and_resumes_when_the_pane_is_left(run: RunDirectory, workers: Any) -> None:
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        pane = await park(pilot, run)
        [worker] = workers.started
        assert pane.conversation.turns[-1].text == "Hold the dock."
        await until(pilot, lambda: "It resumes when you leave this pane." in pane.text.plain)
        [borrowed] = list_loans(run).values()
        assert borrowed.borrower == ProcessIdentity.current()
        await pilot.press("escape", "1")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("escape")  # go on chatting
        await until(pilot, lambda: pane.query_one(Question).has_focus)
        assert list_loans(run) and not worker.closed
        await pilot.press("escape", "1")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("enter")
        await until(pilot, lambda: not list_loans(run))
        assert worker.closed
        assert not run.loans.exists()


async def test_a_run_that_is_parked_already_stays_so(run: RunDirectory, workers: Any) -> None:
    append_events(run, ev.Held(state="parked", reason="Asked with L.", ends=ev.BY_HAND, step=50))
    run.write_process(GONE)
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        pane = await type_question(pilot, "who")
        await until(pilot, lambda: pane.conversation.turns and pane.conversation.turns[-1].ended == "eos")
        assert list_loans(run)  # no rule brings it back meanwhile
        assert "It resumes" not in pane.text.plain
        await pilot.press("escape", "1")
        await until(pilot, lambda: not list_loans(run) and workers.started[0].closed)


async def test_quitting_asks_first_and_gives_the_card_back(run: RunDirectory, workers: Any) -> None:
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await park(pilot, run)
        await pilot.press("escape", "q")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await until(pilot, lambda: "zombies-1 is parked for this chat." in screen_text(pilot.app))
        await pilot.press("enter")
        await until(pilot, lambda: not pilot.app.is_running)
    assert not list_loans(run) and workers.started[0].closed


async def test_an_app_that_just_ends_gives_the_card_back(run: RunDirectory, workers: Any) -> None:
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await park(pilot, run)
    assert not list_loans(run) and workers.started[0].closed


async def test_a_run_that_someone_else_resumes_gets_its_card(run: RunDirectory, workers: Any) -> None:
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        pane = await park(pilot, run)
        await until(pilot, lambda: "parked" in screen_text(pilot.app))
        run.write_process(ProcessIdentity.current(2))
        append_events(run, ev.Started(attempt=2, pid=os.getpid(), resume_step=50), ev.Phase(name="training"))
        await until(pilot, lambda: workers.started[0].closed and not list_loans(run))
        await type_question(pilot, "again")  # how to answer is asked anew
        await until(pilot, lambda: isinstance(pilot.app.screen, Options))
        assert pane.conversation.status == "off"


async def test_a_card_with_room_or_a_setting_decides_without_a_question(
    run: RunDirectory, trainer: FakeTrainer, workers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = locations.settings_file()
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text('[chat]\nduring_training = "trainer"\n')
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await type_question(pilot, "who")
        await until(pilot, lambda: len(trainer.asked) == 1)
    settings.unlink()
    monkeypatch.setattr(room, "has_room_beside", lambda run: True)
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await type_question(pilot, "who")
        await until(pilot, lambda: len(workers.started) == 1)
        await pilot.press("ctrl+b")
        await choose(pilot, "t")
        await until(pilot, lambda: workers.started[0].closed)
        await type_question(pilot, "two")
        await until(pilot, lambda: len(trainer.asked) == 2)
