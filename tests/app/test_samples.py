"""The samples pane: browse the answers and the dataset rows, raw and as the model sees them."""

from __future__ import annotations

from typing import Any

import msgspec
from support.fake_runs import append_events
from support.pilot import screen_strips, screen_text, settled, until

from codex_tui.ui.app import CodexApp
from training.contract import events as ev

SIZE = (200, 60)


async def test_answers_are_browsed_from_the_newest(make_run: Any) -> None:
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert "Answer 5 / 5  step 200" in screen_text(pilot.app)
        await pilot.press("3", "left", "left")
        await pilot.pause()
        text = screen_text(pilot.app)
        assert "Answer 3 / 5  step 120" in text
        assert text.index("earlier answers") < text.index("step 80 ") < text.index("step 40 ")
        assert "step 160" not in text
        await pilot.press("greater_than_sign")
        await pilot.pause()
        assert "Answer 5 / 5" in screen_text(pilot.app)


async def test_the_base_models_answer_stays_on_the_screen(make_run: Any) -> None:
    run = make_run(end="training", steps=80)
    lines = run.events.read_bytes().splitlines(keepends=True)
    base = ev.Sample(step=0, prompt="Where do two players hold?", text="Hold hold hold", cut_at=3)
    run.events.write_bytes(b"".join([*lines[:3], msgspec.json.encode(base) + b"\n", *lines[3:]]))
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await settled(pilot)
        text = screen_text(pilot.app)
        assert "Answer 3 / 3  step 80" in text
        assert "before, base model  Hold hold hold … cut at 3 tokens" in text
        assert text.index("before, base model") < text.index("earlier answers") < text.index("step 40 ")
        assert text.count("Hold hold hold") == 1
        await pilot.press("3", "less_than_sign")
        await pilot.pause()
        text = screen_text(pilot.app)
        assert "Answer 1 / 3  the base model, before training" in text
        assert "before, base model" not in text


async def test_each_of_many_questions_has_its_own_earlier_answers(make_run: Any) -> None:
    run = make_run(end="training", steps=80)
    lines = run.events.read_bytes().splitlines(keepends=True)
    base = [ev.Sample(step=0, prompt=f"Who is {name}?", text=f"{name} {name}") for name in ("Rook", "Vale")]
    run.events.write_bytes(b"".join([*lines[:3], *(msgspec.json.encode(each) + b"\n" for each in base), *lines[3:]]))
    for step, word in ((81, "old"), (82, "new")):
        for name in ("Rook", "Vale"):
            append_events(run, ev.Sample(step=step, prompt=f"Who is {name}?", text=f"{word} {name}"))
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "step 82, question 2 of 2" in screen_text(pilot.app))
        text = screen_text(pilot.app)
        assert "Who is Vale?" in text
        assert "before, base model  Vale Vale" in text
        assert "old Vale" in text[text.index("earlier answers") :]
        assert "Rook" not in text
        await pilot.press("3", "left")
        await until(pilot, lambda: "step 82, question 1 of 2" in screen_text(pilot.app))
        text = screen_text(pilot.app)
        assert "before, base model  Rook Rook" in text
        assert "old Rook" in text
        assert "Vale" not in text


async def test_an_answer_that_was_cut_says_so(make_run: Any) -> None:
    run = make_run(end="training", steps=80)
    append_events(run, ev.Sample(step=80, prompt="Where?", text="Hold the", cut_at=2_048))
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert "Hold the … cut at 2,048 tokens" in screen_text(pilot.app)


async def test_rows_raw_and_as_the_model_sees_them(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("3", "d")
        await until(pilot, lambda: "Row 1 / 3" in screen_text(pilot.app))
        text = screen_text(pilot.app)
        assert "40 tokens, 20 learned" in text
        assert "<|start_header_id|>user" in text
        assert "cut off beyond 32 tokens" in text
        await pilot.press("right", "v")
        await until(pilot, lambda: "Row 2 / 3" in screen_text(pilot.app))
        assert "instruction" in screen_text(pilot.app)
        await pilot.press("right", "right", "right")
        await until(pilot, lambda: "Row 3 / 3" in screen_text(pilot.app))
    assert [worker.closed for worker in workers.started] == [True]


async def test_d_shows_the_rows_from_any_pane_as_the_pane_says(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("1", "d")
        await until(pilot, lambda: "Row 1 / 3" in screen_text(pilot.app))
        await pilot.press("d")
        await until(pilot, lambda: "Answer 5 / 5" in screen_text(pilot.app))


async def test_the_learned_part_is_marked_beyond_its_colour(make_run: Any, workers: Any) -> None:
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("3", "d")
        await until(pilot, lambda: "Row 1 / 3" in screen_text(pilot.app))
        styled = {
            segment.text: segment.style
            for strip in screen_strips(pilot.app)
            for segment in strip
            if "At the dock." in segment.text or "And then the roof" in segment.text
        }
        learned = next(style for text, style in styled.items() if "dock" in text)
        cut = next(style for text, style in styled.items() if "roof" in text)
        assert learned is not None and learned.underline
        assert cut is not None and cut.strike
