"""A judgement on its screen: started, at work, stopped, failed, and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.config_file import read_config, write_config
from support.judge_screen import JudgeWorker, count_asked, make_judgeable_run
from support.judgement_pilot import hide, hints_of, open_judgement, see
from support.pilot import screen_text, settled, until
from textual.widgets import Input

from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.judge.screen import JudgeScreen
from codex_tui.ui.messages import OpenRun
from training.contract import judgement_file
from training.contract.run_directory import RunDirectory


@pytest.fixture
def run(make_run: Any) -> RunDirectory:
    return make_judgeable_run(make_run)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> type[JudgeWorker]:
    kind = type("Judges", (JudgeWorker,), {"started": []})
    monkeypatch.setattr("codex_tui.workers.talk.Worker", kind)
    monkeypatch.setattr("codex_tui.environment.build.find_python", lambda: Path("/usr/bin/python3"))
    return kind


async def test_a_run_without_a_judgement_says_what_one_is_and_offers_it(run: Any, worker: Any) -> None:
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await see(pilot, "zombies-1")
        assert "J" in hints_of(pilot)
        await open_judgement(pilot, "zombies-1 has not been judged yet.")
        await see(pilot, "asks the adapter and its base model the same questions", "n starts a judgement")
        assert "n" in hints_of(pilot)
        await pilot.press("w", "t", "slash", "2", "right", "r")  # keys of a result do nothing yet
        await see(pilot, "zombies-1 has not been judged yet.")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, JudgeScreen))


async def test_a_judgement_runs_with_progress_is_stopped_and_goes_on(run: Any, worker: Any) -> None:
    worker.pauses_after = 5
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        screen = await open_judgement(pilot, "has not been judged yet.")
        await pilot.press("n")
        await see(pilot, "Judge zombies-1", "Enter judge")
        await pilot.press("enter")
        await see(pilot, "Base answers", "62 %", "Esc stops")  # 5 of 8 questions
        await pilot.press("escape")
        await see(pilot, "Stop the judgement?", "Its answers so far are kept", "Enter stop", "Esc go on")
        await pilot.press("escape")
        await hide(pilot, "Stop the judgement?")
        assert screen.work.tracker and not worker.started[0].closed
        await pilot.press("escape", "enter")
        await see(pilot, "The judgement was stopped. Its answers are kept: r goes on.")
        assert worker.started[0].closed and not screen.judgement
        worker.pauses_after = None
        await pilot.press("r")
        await see(pilot, "8 questions: base passes none, the adapter 8")
        first, second = worker.started
        assert (count_asked(first), count_asked(second)) == (16, 11)
        assert "r" not in hints_of(pilot)


async def test_while_a_judgement_runs_no_key_that_starts_one_is_named(run: Any, worker: Any) -> None:
    worker.pauses_after = 5
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await open_judgement(pilot, "n starts a judgement")
        await pilot.press("n", "enter")
        await see(pilot, "62 %", "has not been judged yet.")
        assert "n starts a judgement" not in screen_text(pilot.app) and "n" not in hints_of(pilot)
        worker.started[0].go_on()
        await see(pilot, "8 questions: base passes none", "n judge again", "m judge model")
        worker.pauses_after = 5
        await pilot.press("n", "ctrl+u", *"demo:zombie-waves", "enter")
        await see(pilot, "Esc stops", "8 questions: base passes none")
        assert not {"n", "m"} & set(hints_of(pilot))


async def test_no_way_out_of_the_screen_stops_a_judgement_without_a_question(
    run: Any, worker: Any, make_run: Any
) -> None:
    make_run("zombies-7")
    worker.pauses_after = 5
    async with CodexApp(run).run_test(size=(80, 24)) as pilot:
        screen = await open_judgement(pilot, "has not been judged yet.")
        await pilot.press("n", "enter")
        await see(pilot, "62 %")
        pilot.app.post_message(OpenRun(RunDirectory(run.path.parent / "zombies-7")))  # as the palette does
        await until(pilot, lambda: "A judgement runs." in str([note.message for note in pilot.app._notifications]))
        await pilot.press("q")
        await see(pilot, "A judgement runs. Quit?", "Enter stop and quit", "Esc stay")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)
        assert screen.work.tracker and not worker.started[0].closed
        await pilot.press("q", "enter")
        await until(pilot, lambda: not pilot.app.is_running)
    assert worker.started[0].closed


async def test_a_judgement_that_ends_while_the_question_is_open_is_kept(run: Any, worker: Any) -> None:
    worker.pauses_after = 5
    async with CodexApp(run).run_test(size=(80, 24)) as pilot:
        screen = await open_judgement(pilot, "has not been judged yet.")
        await pilot.press("n", "enter")
        await see(pilot, "62 %")
        await pilot.press("escape")
        await see(pilot, "Stop the judgement?")
        worker.started[0].go_on()
        await until(pilot, lambda: screen.judgement)
        await pilot.press("enter")
        await see(pilot, "8 questions: base passes none, the adapter 8")
        assert not screen.work.stopped


async def test_a_judgement_needs_the_memory_of_the_cockpits_models(
    run: Any, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    freed = []

    async def free(self: CockpitScreen) -> None:
        freed.append(self.run_directory.name)

    monkeypatch.setattr(CockpitScreen, "free_workers", free)
    async with CodexApp(run).run_test(size=(80, 24)) as pilot:
        await open_judgement(pilot, "has not been judged yet.")
        await pilot.press("n", "enter")
        await see(pilot, "8 questions: base passes none")
    assert freed == ["zombies-1"]


async def test_it_is_refused_while_a_run_trains(run: Any, worker: Any, make_run: Any) -> None:
    make_run(name="busy", end="training", steps=10)
    async with CodexApp(run).run_test(size=(80, 24)) as pilot:
        await open_judgement(pilot, "has not been judged yet.")
        await pilot.press("n", "enter")
        await see(pilot, "busy is training, and a judgement would take memory and time from it.", "Wait until it has")
        assert not worker.started


async def test_the_dialog_completes_a_book_and_names_its_faults(
    run: Any, worker: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    (home / "bosses.jsonl").write_text('{"question": "Who?", "must": "x", "tag": 1}\n')
    async with CodexApp(run).run_test(size=(80, 24)) as pilot:
        await open_judgement(pilot, "has not been judged yet.")
        await pilot.press("n")
        await see(pilot, "Enter judge")
        await pilot.press("b", "o")
        await see(pilot, "bosses.jsonl")
        await pilot.press("tab")
        await until(pilot, lambda: pilot.app.screen.query_one("#book", Input).value == "bosses.jsonl")
        await pilot.press("tab", *"nobody", "enter")
        await see(pilot, "nobody")
        await until(pilot, lambda: "✗" in screen_text(pilot.app))
        await pilot.press(*["backspace"] * 6, *"base", "enter")
        await see(pilot, "bosses.jsonl, line 1")
        assert not worker.started


async def test_the_dialog_begins_with_the_book_that_the_command_uses(run: Any, worker: Any, home: Path) -> None:
    write_config(run, read_config(run) | {"dataset": "demo:zombie-waves"})
    async with CodexApp(run).run_test(size=(80, 24)) as pilot:
        await open_judgement(pilot, "has not been judged yet.")
        await pilot.press("n")
        await see(pilot, "Judge zombies-1", "Enter judge")
        field = pilot.app.screen.query_one("#book", Input)
        assert field.value == "demo:zombie-waves"
        await pilot.press("ctrl+u", "enter")  # an empty field is the same book
        await see(pilot, "40 questions: base passes")
    assert judgement_file.read(run.judgements / "demo-zombie-waves.json").book.name == "demo:zombie-waves"


async def test_the_dialog_begins_with_the_book_of_the_runs_own_evaluations(run: Any, worker: Any) -> None:
    config = read_config(run)
    config["profile"]["evaluation"]["book"] = "/home/me/book-that-was-edited.jsonl"
    write_config(run, config | {"dataset": "demo:zombie-waves"})
    run.book.write_text('{"question": "Where do two players hold?", "must": "dock"}\n')
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await open_judgement(pilot, "has not been judged yet.")
        await pilot.press("n")
        await see(pilot, "Judge zombies-1", "Enter judge")
        assert pilot.app.screen.query_one("#book", Input).value == str(run.book)
        await pilot.press("enter")
        await see(pilot, "1 question: ")
    assert judgement_file.read(run.judgements / "book.json").overall.questions == 1


async def test_a_failure_keeps_the_answers_and_offers_to_go_on(run: Any, worker: Any) -> None:
    from codex_tui.base.errors import CodexError

    worker.pauses_after = 5
    async with CodexApp(run).run_test(size=(80, 24)) as pilot:
        await open_judgement(pilot, "has not been judged yet.")
        await pilot.press("n", "enter")
        await see(pilot, "62 %")
        worker.started[0].fail(CodexError("The worker ended by signal SIGKILL.", "Free some memory."))
        await see(pilot, "The worker ended by signal SIGKILL.")
        await pilot.press("escape")
        await see(pilot, "r goes on")
