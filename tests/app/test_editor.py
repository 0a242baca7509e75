"""Tests of the profile editor, driven by keys. The GPU is always the same one with 4 GB."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.pilot import screen_text, settled, until
from support.screens import EVIL
from textual.events import Key, Paste
from textual.pilot import Pilot
from textual.widgets import Input

from codex_tui.base import locations
from codex_tui.launch_plan import LaunchPlan
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.editor.compare import CompareScreen
from codex_tui.ui.editor.screen import EditorScreen
from codex_tui.ui.forecast.remedies import RemediesScreen
from codex_tui.ui.kit.dialogs import Ask
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.launch.dialog import LaunchDialog
from codex_tui.ui.profiles.screen import ProfilesScreen

MINE = """\
# My own, in my own order.
title = "Mine"   # shown in the list

[lora]
r = 32            # doubled
lora_alpha = 32

[model]
name = "unsloth/Llama-3.2-3B-Instruct"
"""


@pytest.fixture
def mine(home: Path) -> Path:
    path = locations.user_profiles() / "mine.toml"
    path.parent.mkdir(parents=True)
    path.write_text(MINE)
    return path


@asynccontextmanager
async def editing(*keys: str, size: tuple[int, int] = (120, 36)) -> AsyncIterator[Pilot[Any]]:
    """Presses `keys` in the list of profiles, and opens the editor on the picked profile."""
    async with CodexApp().run_test(size=size) as pilot:
        await settled(pilot)
        await pilot.press(*keys, "e")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen) and pilot.app.screen.forecast)
        yield pilot


async def go_to(pilot: Pilot[Any], path: str) -> None:
    await pilot.press("slash")
    await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
    pilot.app.screen.query_one(Input).value = path
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen) and editor(pilot).picked.schema.path == path)


async def type_in(pilot: Pilot[Any], value: str) -> None:
    await pilot.press("enter")
    pilot.app.screen.query_one("#typed", Input).value = value
    await pilot.pause()


def editor(pilot: Pilot[Any]) -> EditorScreen:
    screen = pilot.app.screen
    assert isinstance(screen, EditorScreen)
    return screen


async def test_a_change_is_saved_and_no_other_byte_moves(mine: Path) -> None:
    async with editing() as pilot:
        await go_to(pilot, "lora.r")
        await type_in(pilot, "8")
        await pilot.press("enter")
        text = screen_text(pilot.app)
        assert "● 1 changed" in text
        assert "● r" in text
        assert mine.read_text() == MINE
        await pilot.press("s")
        await until(pilot, lambda: not editor(pilot).draft.dirty)
    assert mine.read_text() == MINE.replace("r = 32 ", "r = 8 ")


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


async def test_the_asked_name_is_replaced_by_typing(mine: Path) -> None:
    async with editing() as pilot:
        await pilot.press("S")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
        await pilot.press(*"night", "enter")
        await until(pilot, mine.with_name("night.toml").exists)


async def test_a_change_is_saved_and_launched_with_few_keys(mine: Path, plans: list[LaunchPlan]) -> None:
    """From the list of profiles to a run with another max_seq_length. It took 17 keys before."""
    mine.write_text(MINE + '[dataset]\npath = "demo:zombie-waves"\n')
    keys = ["e", "pagedown", "pagedown", "down", "down", "1", "9", "2", "ctrl+n", "enter"]
    async with CodexApp().run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        await pilot.press(*keys[:1])
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        await pilot.press(*keys[1:-1])
        await until(pilot, lambda: isinstance(pilot.app.screen, LaunchDialog))
        assert "max_seq_length = 192" in mine.read_text()
        await pilot.press("escape")
        assert editor(pilot).picked.value == 192  # Escape leads back to the editor
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, LaunchDialog))
        await pilot.press(keys[-1])
        await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))
        await settled(pilot)
        await pilot.press("escape")
        await until(
            pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen) and "192 tokens" in screen_text(pilot.app)
        )
    assert len(keys) == 10
    assert [plan.profile.model.max_seq_length for plan in plans] == [192]


async def test_a_draft_with_a_problem_is_not_launched(mine: Path) -> None:
    async with editing() as pilot:
        await go_to(pilot, "model.max_seq_length")
        await pilot.press("3", "ctrl+n")  # less than the smallest length
        assert editor(pilot).form.typing
        await pilot.press("escape")
        await go_to(pilot, "model.dtype")
        await pilot.press("left", "n")
        await until(pilot, lambda: any("1 problem" in each.message for each in pilot.app._notifications))
    assert mine.read_text() == MINE


async def test_a_shipped_profile_without_a_change_is_launched_as_it_is(home: Path) -> None:
    async with editing() as pilot:
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, LaunchDialog))
        assert "Launch Llama 3.2 3B on 6 GB" in screen_text(pilot.app)
    assert not list(locations.user_profiles().glob("*.toml"))


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


async def test_editing_a_shipped_profile_makes_a_child(home: Path) -> None:
    async with editing() as pilot:
        await go_to(pilot, "training.learning_rate")
        await type_in(pilot, "1e-4")
        await pilot.press("enter", "s")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
        await pilot.press("enter")
        own = locations.user_profiles() / "my-small-card.toml"
        await until(pilot, own.exists)
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        await pilot.press("c")
        await until(pilot, lambda: "0.0002" in screen_text(pilot.app))  # compared with its parent
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen))
    text = own.read_text()
    assert 'extends = "small-card"' in text
    assert "learning_rate = 1e-4" in text
    assert "# The peak of the schedule. Costs nothing." in text
    assert "1e-4" not in (home / "shipped" / "small-card.toml").read_text()


async def test_a_change_by_another_program_is_never_overwritten_silently(mine: Path) -> None:
    async with editing() as pilot:
        await go_to(pilot, "lora.r")
        await type_in(pilot, "8")
        await pilot.press("enter")
        theirs = MINE.replace("lora_alpha = 32", "lora_alpha = 64")
        mine.write_text(theirs)
        await pilot.press("s")
        await until(pilot, lambda: "Changed on disk" in screen_text(pilot.app))
        assert mine.read_text() == theirs
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        assert mine.read_text() == theirs
        await pilot.press("s")
        await until(pilot, lambda: "Changed on disk" in screen_text(pilot.app))
        await pilot.press("t")
        await until(pilot, lambda: "lora_alpha = 64" in editor(pilot).draft.text)
        await pilot.press("u")
        assert "r = 8 " in editor(pilot).draft.text  # undo restores the own change


async def test_leaving_with_changes_asks(mine: Path) -> None:
    async with editing() as pilot:
        await go_to(pilot, "lora.r")
        await type_in(pilot, "8")
        await pilot.press("enter", "escape")
        await until(pilot, lambda: "Unsaved changes" in screen_text(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        await pilot.press("escape", "d")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen))
    assert mine.read_text() == MINE


@pytest.mark.parametrize("key", ["q", "ctrl+q", "p", "o"])
async def test_every_way_out_asks(mine: Path, key: str) -> None:
    async with editing() as pilot:
        await go_to(pilot, "lora.r")
        await type_in(pilot, "8")
        await pilot.press("enter", key)
        await until(pilot, lambda: "Unsaved changes" in screen_text(pilot.app))
        await pilot.press("s")
        await until(pilot, lambda: "r = 8 " in mine.read_text())
        await until(pilot, lambda: not pilot.app.is_running or not isinstance(pilot.app.screen, EditorScreen))


async def test_a_change_on_disk_is_read_if_nothing_would_be_lost(mine: Path) -> None:
    async with editing() as pilot:
        mine.write_text(MINE.replace("lora_alpha = 32", "lora_alpha = 64"))
        editor(pilot).files.check_disk()
        await until(pilot, lambda: "lora_alpha = 64" in editor(pilot).draft.text)
        assert not editor(pilot).draft.dirty
        await go_to(pilot, "lora.r")
        await type_in(pilot, "8")
        await pilot.press("enter")
        mine.unlink()
        editor(pilot).files.check_disk()
        await until(pilot, lambda: "changed on disk" in screen_text(pilot.app))
        assert "r = 8 " in editor(pilot).draft.text


async def test_a_parent_that_changes_on_disk_is_read_again_and_reported_once(mine: Path) -> None:
    base, child = mine.with_name("zz-base.toml"), 'extends = "zz-base"\ntitle = "Child"\n'
    base.write_text('[model]\nname = "unsloth/Llama-3.2-3B-Instruct"\n[lora]\nr = 24\n')
    mine.write_text(child)
    async with editing() as pilot:
        await go_to(pilot, "lora.r")
        assert editor(pilot).picked.inherited == 24
        base.write_text(base.read_text().replace("24", "48"))
        await pilot.press("question_mark", "escape")  # the editor checks the files when it is shown again
        await until(pilot, lambda: editor(pilot).picked.inherited == 48)
        assert "48" in next(row for row in screen_text(pilot.app).splitlines() if "▌   r " in row)
        editor(pilot).files.check_disk()
        messages = [notification.message for notification in pilot.app._notifications]
        assert messages == ["zz-base.toml changed on disk. The inherited values are updated."]
        assert not editor(pilot).draft.dirty
    assert mine.read_text() == child


async def test_quitting_from_a_screen_above_the_editor_asks_too(mine: Path) -> None:
    async with editing() as pilot:
        await go_to(pilot, "lora.r")
        await type_in(pilot, "8")
        await pilot.press("enter", "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, CompareScreen))
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Unsaved changes" in screen_text(pilot.app))
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, CompareScreen)
        await pilot.press("ctrl+q")
        await until(pilot, lambda: "Unsaved changes" in screen_text(pilot.app))
        await pilot.press("s")
        await until(pilot, lambda: not pilot.app.is_running)
    assert mine.read_text() == MINE.replace("r = 32 ", "r = 8 ")


async def test_a_file_that_is_not_toml_is_reported_and_not_changed(mine: Path) -> None:
    mine.write_text("[model\n")
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await pilot.press("down", "e")
        await until(pilot, lambda: "not valid TOML" in screen_text(pilot.app))
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        await pilot.press("pagedown", "right")
        await until(pilot, lambda: "This file has mistakes" in screen_text(pilot.app))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen))
    assert mine.read_text() == "[model\n"


async def test_duplicating_keeps_the_comments(mine: Path) -> None:
    async with CodexApp().run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
        await pilot.press("enter")
        copy = mine.with_name("mine-copy.toml")
        await until(pilot, copy.exists)
        await until(pilot, lambda: "mine-copy" in screen_text(pilot.app))
    assert copy.read_text() == MINE


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
