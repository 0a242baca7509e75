"""The fields of the profile editor: typing, choices, help and forecast. The GPU is always the same one with 4 GB."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.editing import MINE, editing, editor, go_to, type_in, write_mine
from support.pilot import screen_text, until
from support.screens import EVIL
from textual.events import Key, Paste

from codex_tui.ui.editor.screen import EditorScreen
from codex_tui.ui.forecast.remedies import RemediesScreen
from codex_tui.ui.kit.hints import HintBar


@pytest.fixture
def mine(home: Path) -> Path:
    return write_mine()


async def test_help_and_errors_appear_while_typing(mine: Path) -> None:
    async with editing() as pilot:
        await go_to(pilot, "model.max_seq_length")
        text = screen_text(pilot.app)
        assert "The longest row in tokens; longer" in text
        assert "at least 16" in text
        await type_in(pilot, "2k")
        assert "should be a whole number" in screen_text(pilot.app)
        await pilot.press("enter")  # the wrong value is refused
        assert editor(pilot).form.typing
        await pilot.press("escape")
        assert not editor(pilot).form.typing
        assert "should be a whole number" not in screen_text(pilot.app)
        assert not editor(pilot).draft.dirty


async def test_the_forecast_changes_while_typing(mine: Path) -> None:
    async with editing() as pilot:
        before = editor(pilot).forecast
        await go_to(pilot, "model.max_seq_length")
        await type_in(pilot, "16384")
        await until(pilot, lambda: editor(pilot).forecast is not before and "too big" in screen_text(pilot.app))
        for part in ("weights", "LoRA", "optimizer", "activations", "loss head", "CUDA context", "display"):
            assert part in screen_text(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: "too big" not in screen_text(pilot.app))


async def test_a_long_path_keeps_its_name(mine: Path) -> None:
    path = f"/data/{'x' * 100}/guide.jsonl"
    mine.write_text(f'{MINE}\n[dataset]\npath = "{path}"\nsystem_prompt = "You are {"very " * 20}kind."\n')
    async with editing(size=(80, 24)) as pilot:
        await go_to(pilot, "dataset.path")
        assert "xxx/guide.jsonl" in screen_text(pilot.app)
        await go_to(pilot, "dataset.system_prompt")
        assert "You are very very" in screen_text(pilot.app)


async def test_typing_replaces_the_value(mine: Path) -> None:
    async with editing() as pilot:
        await go_to(pilot, "model.max_seq_length")
        await pilot.press("enter")
        await until(pilot, lambda: editor(pilot).form.typing)
        assert editor(pilot).form.typed == "2048"
        await pilot.press("1", "9", "2", "enter")
        assert editor(pilot).picked.value == 192
        await pilot.press("enter", "end", "0", "enter")  # after a move the value is extended
        assert editor(pilot).picked.value == 1920


async def test_digits_begin_a_new_value_and_none_is_lost_when_they_arrive_at_once(mine: Path) -> None:
    async with editing() as pilot:
        await go_to(pilot, "model.max_seq_length")
        for key in ("1", "9", "2"):  # all of them come before the text line has the focus
            pilot.app.post_message(Key(key, key))
        pilot.app.post_message(Key("enter", "\r"))
        await until(pilot, lambda: editor(pilot).picked.value == 192)
        assert not editor(pilot).form.typing
        await go_to(pilot, "model.dtype")
        await pilot.press("1")  # the field takes no number
        assert not editor(pilot).form.typing


async def test_a_pasted_text_keeps_all_its_lines(mine: Path) -> None:
    async with editing() as pilot:
        await go_to(pilot, "dataset.system_prompt")
        await pilot.press("enter")
        await until(pilot, lambda: editor(pilot).form.text_line.has_focus)
        pilot.app.post_message(Paste("You are a pirate.\nAnswer in pirate words.\n"))
        await until(pilot, lambda: "pirate words" in editor(pilot).form.typed)
        await pilot.press("enter", "s")
        await until(pilot, lambda: not editor(pilot).draft.dirty)
        assert editor(pilot).draft.own["dataset.system_prompt"] == "You are a pirate.\nAnswer in pirate words."


async def test_choices_are_stepped_through_and_undone(mine: Path) -> None:
    async with editing() as pilot:
        await go_to(pilot, "training.gradient_checkpointing")
        await pilot.press("right")
        assert "gradient_checkpointing = true" in editor(pilot).draft.text
        await pilot.press("space")
        assert "gradient_checkpointing = false" in editor(pilot).draft.text
        await pilot.press("u", "u")
        assert editor(pilot).draft.text == MINE
        await pilot.press("U")
        assert "gradient_checkpointing = true" in editor(pilot).draft.text
        await pilot.press("delete")
        assert "\ngradient_checkpointing" not in editor(pilot).draft.text


async def test_an_impossible_combination_is_shown_at_its_field(mine: Path) -> None:
    async with editing() as pilot:
        await go_to(pilot, "model.dtype")
        await pilot.press("left")
        text = screen_text(pilot.app)
        assert "✗ 1 problem" in text
        assert "float32 is not possible with load_in_4bit = true" in text
        assert "No forecast: the profile has problems." in text


async def test_a_remedy_is_applied_with_one_key(mine: Path) -> None:
    async with editing() as pilot:
        await go_to(pilot, "model.max_seq_length")
        await type_in(pilot, "16384")
        await pilot.press("enter")
        await until(pilot, lambda: editor(pilot).forecast and editor(pilot).forecast.remedies)
        assert "r" in pilot.app.screen.query_one(HintBar).keys
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, RemediesScreen))
        assert "frees" in screen_text(pilot.app)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        assert "max_seq_length = 1024" in editor(pilot).draft.text


async def test_hostile_values_are_shown_harmless_and_kept(mine: Path) -> None:
    evil = EVIL.replace("\x1b", "\\u001b").replace("\x07", "\\u0007").replace("\x9b", "\\u009b")
    mine.write_text(MINE.replace('"Mine"', f'"{evil}"'))
    async with editing() as pilot:
        text = screen_text(pilot.app)
        assert "\x1b" not in text and "\x9b" not in text and "\x07" not in text
        assert "owned" in text
        await go_to(pilot, "lora.r")
        await type_in(pilot, "8")
        await pilot.press("enter", "s")
        await until(pilot, lambda: not editor(pilot).draft.dirty)
    assert evil in mine.read_text()


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_every_field_is_reached(mine: Path, size: tuple[int, int]) -> None:
    async with editing(size=size) as pilot:
        screen = editor(pilot)
        seen = []
        for _ in range(120):
            seen.append(screen.picked.schema.path)
            assert screen.picked.schema.name in screen_text(pilot.app)
            await pilot.press("down")
            if screen.picked.schema.path == seen[-1]:
                break
        assert seen[0] == "extends" and seen[-1] == "tracking.project"
        assert len(seen) == len(set(seen)) > 45
