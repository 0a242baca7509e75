"""The result of a judgement on its screen: the conclusions, the questions, and each question in full."""

from __future__ import annotations

from typing import Any

import pytest
from support.judge_screen import damage, judge_questions, judge_side, make_judgeable_run, write_judgement
from support.judge_server import KEY, Reply, prefer, serve
from support.judgement_pilot import hide, hints_of, open_judgement, see, words_of
from support.pilot import screen_text, settled, until
from support.screens import EVIL
from textual.widgets import Static

from codex_tui.base import locations
from codex_tui.ui.app import CodexApp
from codex_tui.ui.judge.question import QuestionScreen
from codex_tui.ui.judge.screen import JudgeScreen
from training.contract import judgement_file
from training.contract.run_directory import RunDirectory


@pytest.fixture
def run(make_run: Any) -> RunDirectory:
    return make_judgeable_run(make_run)


async def test_the_result_is_shown_at_once(run: Any) -> None:
    write_judgement(run)
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await open_judgement(pilot, "24 questions: base passes 1, the adapter")
        text = words_of(pilot)
        assert "Nothing can be said about" not in text.split("W/L/T")[0].split("•")[1]
        assert "known by heart" in text and "weapon priority" in text and "1 → " in text
        await see(pilot, "▲ better", "✗ fail", "✓ pass", "Where do two players hold in wave 0?", "1 / 24")


async def test_a_small_screen_has_tabs_and_stacked_answers(run: Any) -> None:
    write_judgement(run)
    async with CodexApp(run).run_test(size=(80, 24)) as pilot:
        await open_judgement(pilot, "1 Result 2 Questions")
        assert "Where do two players" not in words_of(pilot)
        await pilot.press("2")
        await see(pilot, "base ✗ fail I like trains", "adapter ✓ pass Hold the loading dock")
        await until(pilot, lambda: {"Enter", "y Y"} <= {*hints_of(pilot)})
        await pilot.press("1")
        await see(pilot, "What can be concluded")


async def test_filters_by_mark_and_tag_and_a_search(run: Any) -> None:
    write_judgement(run)
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await open_judgement(pilot, "1 / 24")
        await pilot.press("w")
        await see(pilot, "the adapter is worse", "1 / 1 of 24", "▼ worse")
        await pilot.press("b")
        await see(pilot, "the adapter is better", "of 24")
        await hide(pilot, "▼ worse")
        await pilot.press("f")
        await see(pilot, "the adapter fails", "of 24")
        await pilot.press("t", "t")
        await see(pilot, "the adapter fails, unseen")
        await pilot.press("T")
        await see(pilot, "the adapter fails, known by heart", "none of 24")
        await pilot.press("a")
        await see(pilot, "Questions: all", "1 / 24")
        await pilot.press("slash", *"wave 22?", "enter")
        await see(pilot, "with “wave 22?”", "1 / 1 of 24")
        await pilot.press("escape")
        await see(pilot, "23 / 24")  # the question stays picked


async def test_one_question_in_full_and_its_copies(run: Any) -> None:
    write_judgement(run)
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await open_judgement(pilot, "1 / 24")
        await pilot.press("y")
        await until(
            pilot, lambda: pilot.app.clipboard == "Hold the loading dock until wave 0, then fall back to the roof."
        )
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, QuestionScreen))
        await see(pilot, "1 of 24", "known by heart", "must “loading dock” or “the pier”", "has “loading dock”")
        await see(pilot, "a match of wave \\d+", "has “wave 0”", "must_not “train”", "has “train”", "reference")
        await see(pilot, "exactly the reference", "cut at the length limit", "loss per token of the reference 0.40")
        await see(pilot, "of the words are the same")
        await pilot.press("Y")
        await until(pilot, lambda: pilot.app.clipboard.startswith("question: Where do two players hold in wave 0?"))
        assert "\n\nbase: I like trains" in pilot.app.clipboard and "\n\nadapter: Hold" in pilot.app.clipboard
        await pilot.press("right")
        await see(pilot, "2 of 24", "hold in wave 1?")
        await pilot.press("slash", *"pier", "enter")
        await until(pilot, lambda: "n N" in hints_of(pilot))
        await pilot.press("escape", "escape")
        await see(pilot, "2 / 24")  # the list is where the question was


async def test_other_judgements_and_damaged_files(run: Any) -> None:
    write_judgement(run, "guide", age=60)
    write_judgement(run, "held-out", count=9)
    write_judgement(run, "broken")
    damage(run, "broken")
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await open_judgement(pilot, "held-out.jsonl")
        await see(pilot, "1 of 2", "! 1 file can't be shown")
        await pilot.press("1", "end")
        await see(pilot, "broken.json is damaged")
        await pilot.press("right")
        await see(pilot, "guide.jsonl", "2 of 2", "24 questions: base")
        await pilot.press("left")
        await see(pilot, "9 questions: base")


async def test_only_damaged_files(run: Any) -> None:
    write_judgement(run)
    damage(run, "guide")
    async with CodexApp(run).run_test(size=(80, 24)) as pilot:
        await open_judgement(pilot, "has not been judged yet.")
        await see(pilot, "guide.json is damaged")


async def test_text_from_outside_is_harmless(run: Any) -> None:
    judged = judge_questions(9)
    question = judged[0].question
    hostile = type(question)(id=EVIL, messages=[{"role": EVIL, "content": EVIL}, {"role": "user", "content": EVIL}],
                             must=(type(question.must[0])(any=(EVIL,)),), tags=(EVIL,), reference=EVIL)  # fmt: skip
    side = judge_side(EVIL, passed=True, loss=1.0, chrf=50.0)
    judged[0] = type(judged[0])(question=hostile, adapter=side, other=side)
    write_judgement(run, judged=judged, notes=[EVIL])
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await open_judgement(pilot, "1 / 9")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, QuestionScreen))
        await see(pilot, "has “")
        assert not set(screen_text(pilot.app)) & {"\x1b", "\x07", "\x9b"}
        await pilot.press("escape", "t", "t")
        await until(pilot, lambda: isinstance(pilot.app.screen, JudgeScreen))
        assert not set(screen_text(pilot.app)) & {"\x1b", "\x07", "\x9b"}


async def test_the_palette_has_the_keys(run: Any) -> None:
    write_judgement(run)
    async with CodexApp(run).run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        assert "Judgement of the run" in {one.title for one in pilot.app.get_system_commands(pilot.app.screen)}
        await open_judgement(pilot, "1 / 24")
        commands = [*pilot.app.get_system_commands(pilot.app.screen)]
        wanted = {"Judge the run", "Copy the question with both answers", "Older judgement"}
        assert wanted <= {command.title for command in commands}
        assert all(command.help.partition("Key:")[0] for command in commands)


async def test_m_asks_before_it_sends_and_shows_the_verdicts(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_judgement(run)
    settings = locations.settings_file()
    settings.parent.mkdir(exist_ok=True)
    monkeypatch.setenv("JUDGE_KEY", KEY)
    with serve(prefer("loading dock")) as server:
        async with CodexApp(run).run_test(size=(120, 36)) as pilot:
            await open_judgement(pilot)
            await pilot.press("m")
            await see(pilot, "No judge model is set: judge_model.url is missing.", "codex-tui config judge_model.url")
            settings.write_text(f'[judge_model]\nurl = "{server.url}"\nmodel = "large-1"\nkey_env = "JUDGE_KEY"\n')
            await pilot.press("escape", "m")
            await see(pilot, "Ask the judge model?")
            asked = " ".join(str(part.render()) for part in pilot.app.screen.query(Static))
            assert f"are sent to {server.url[7:-3]}, where large-1 compares them. That is 24 questions" in asked
            await pilot.press("escape")
            await hide(pilot, "Ask the judge model?")
            assert not server.requests
            held = server.answer
            server.answer = lambda body, number: Reply(hangs=True) if number == 7 else held(body, number)
            await pilot.press("m")
            await see(pilot, "Ask the judge model?")
            await pilot.press("enter")
            await see(pilot, "Large-1 compares the answers", "Esc stops")
            await until(pilot, lambda: len(server.requests) == 8)
            await pilot.press("escape")
            await see(pilot, "Stop the judgement?")
            await pilot.press("enter")
            await see(pilot, "was stopped", "r goes on")
            server.answer = held
            await pilot.press("r")
            await see(pilot, "The judge model large-1 prefers the adapter at 18 questions, base at 1 (5 ties)")
            assert len(server.requests) == 8 + 2 * 24 - 7
            await pilot.press("2", "enter")
            await see(pilot, "large-1 prefers adapter, in both orders")
            assert KEY not in screen_text(pilot.app)
    judge_model = judgement_file.read(run.judgements / "guide.json").judge_model
    assert judge_model
    assert judge_model.wins + judge_model.losses + judge_model.ties == 24
