"""The app on a full disk shows one notice, with the place and the remedy, and loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.disks import fill, mounted
from support.fake_interpreter import idle_interpreter, refusing_interpreter
from support.pilot import screen_text, settled, until
from support.screens import MakeRun
from textual.pilot import Pilot
from textual.widgets import Input, Static

from codex_tui.base import locations
from codex_tui.environment import build
from codex_tui.profiles.draft import Draft
from codex_tui.ui.app import CodexApp
from codex_tui.ui.editor.screen import EditorScreen
from codex_tui.ui.kit.dialogs import Ask, Notice, Options
from codex_tui.ui.launch.dialog import LaunchDialog
from codex_tui.ui.profiles.screen import ProfilesScreen

SIZE = (120, 36)
LONG = "# as long as a page of the disk\n" * 200
MINE = f'title = "Mine"\n[model]\nname = "unsloth/Llama-3.2-3B-Instruct"\n{LONG}'


@pytest.fixture
def disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small disk with all files of the user. The first profile in the list is the user's own."""
    with mounted(home / "disk", "size=1m") as folder:
        monkeypatch.setenv("CODEX_TUI_HOME", str(folder))
        mine().parent.mkdir(parents=True)
        mine().write_text(MINE)
        yield folder


def mine() -> Path:
    return locations.user_profiles() / "mine.toml"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


async def expect_one_notice(pilot: Pilot[Any], *expected: str) -> None:
    """Expects a single notice with all `expected` parts and the remedy, and closes it."""
    await until(pilot, lambda: isinstance(pilot.app.screen, Notice))
    text = " ".join(str(static.content) for static in pilot.app.screen.query(Static))
    for part in (*expected, "No space left on device.", "Free some space there, then try it again."):
        assert text.count(part) == 1, text
    await pilot.press("escape")
    await until(pilot, lambda: not isinstance(pilot.app.screen, Notice))
    assert not list(pilot.app._notifications)


async def edit_rank(pilot: Pilot[Any]) -> Draft:
    await pilot.press("e")
    await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen) and pilot.app.screen.forecast)
    draft: Draft = pilot.app.screen.draft
    draft.set("lora.r", "8")
    return draft


async def type_name(pilot: Pilot[Any], name: str) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
    pilot.app.screen.query_one(Input).value = name
    await pilot.press("enter")


async def test_an_edit_is_saved_once_there_is_room(disk: Path) -> None:
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        draft = await edit_rank(pilot)
        filler = fill(disk)
        await pilot.press("s")
        await expect_one_notice(pilot, str(mine()))
        assert draft.dirty and mine().read_text() == MINE
        await pilot.press("S")
        await type_name(pilot, "another")
        await expect_one_notice(pilot, "another.toml")
        await pilot.press("escape")  # leaving asks first, and its save fails too
        await until(pilot, lambda: isinstance(pilot.app.screen, Options))
        await pilot.press("s")
        await expect_one_notice(pilot, str(mine()))
        assert isinstance(pilot.app.screen, EditorScreen)
        filler.unlink()
        await pilot.press("s")
        await until(pilot, lambda: not draft.dirty)
    assert "r = 8" in mine().read_text()
    assert files(disk) == ["mine.toml"]


async def test_overwriting_a_file_that_another_program_changed(disk: Path) -> None:
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        draft = await edit_rank(pilot)
        mine().write_text(f"{MINE}# theirs\n")
        fill(disk)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, Options))
        await pilot.press("o")
        await expect_one_notice(pilot, str(mine()))
        assert draft.dirty and mine().read_text().endswith("# theirs\n")


async def test_a_copy_is_complete_or_missing(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "true")
    shipped = locations.shipped_profiles() / "small-card.toml"
    shipped.write_text(shipped.read_text() + LONG)
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        fill(disk, but=4096)  # room for the first page of it
        await pilot.press("D")
        await type_name(pilot, "copy")
        await expect_one_notice(pilot, "copy.toml")
        screen = pilot.app.screen
        assert isinstance(screen, ProfilesScreen)
        while screen.picked.name != "small-card":
            await pilot.press("down")
        await pilot.press("E")
        await expect_one_notice(pilot, "small-card.toml")
        assert files(disk) == ["filler", "mine.toml"]


async def test_a_launch_shows_the_error_in_its_dialog(disk: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = refusing_interpreter(home)
    monkeypatch.setattr(build, "ensure", lambda *_, **__: python)
    rows = home / "rows.jsonl"
    rows.write_text('{"instruction": "Who?", "response": "Rook."}\n' * 3)
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        fill(disk)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, LaunchDialog))
        pilot.app.screen.query_one("#dataset", Input).value = str(rows)
        await pilot.press("enter")
        await until(pilot, lambda: "No space left" in screen_text(pilot.app))
        assert "Free some space there" in screen_text(pilot.app)
        assert isinstance(pilot.app.screen, LaunchDialog) and not list(pilot.app._notifications)
        await pilot.press("escape")
    assert list(locations.runs_home().iterdir()) == []


async def test_a_run_that_can_be_neither_stopped_nor_resumed(
    disk: Path, make_run: MakeRun, workers: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = idle_interpreter(home, 60)
    monkeypatch.setattr(build, "find_python", lambda: python)
    build.make_trainer_path()
    run = make_run("waves-1", "training")
    filler = fill(disk)
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("s", "enter")
        await expect_one_notice(pilot, "waves-1/control")
    filler.unlink()
    run = make_run("waves-2", "stopped")
    fill(disk)
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("r")
        await expect_one_notice(pilot, "waves-2/keeper.json")
    assert not [name for name in files(disk) if name.endswith(".tmp")]
