"""The files of the profile editor: saved, launched, changed by others and left. Nothing is lost without a question."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.editing import MINE, editing, editor, go_to, type_in, write_mine
from support.pilot import screen_text, settled, until

from codex_tui.base import locations
from codex_tui.launch_plan import LaunchPlan
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.editor.compare import CompareScreen
from codex_tui.ui.editor.screen import EditorScreen
from codex_tui.ui.kit.dialogs import Ask
from codex_tui.ui.launch.dialog import LaunchDialog
from codex_tui.ui.profiles.screen import ProfilesScreen


@pytest.fixture
def mine(home: Path) -> Path:
    return write_mine()


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
