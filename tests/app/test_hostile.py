"""Text from files, runs and models reaches the terminal only as plain text, never as markup or control codes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.pilot import screen_text, settled, until
from support.screens import EVIL

from codex_tui.base import locations
from codex_tui.ui.app import CodexApp
from codex_tui.ui.kit.dialogs import Notice
from codex_tui.ui.messages import Trouble
from codex_tui.ui.profiles.screen import ProfilesScreen

SIZE = (200, 60)


def assert_harmless(app: Any) -> None:
    text = screen_text(app)
    controls = {chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))} - {"\n"}
    assert not set(text) & controls
    assert "[@click=app.quit]x[/]" in text
    assert "[INST] hi" in text


async def test_in_a_run(make_run: Any) -> None:
    run = make_run(text=EVIL, message=EVIL, end="failed", steps=60, profile=EVIL, log=f"{EVIL}\n")
    async with CodexApp(run).run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert_harmless(pilot.app)
        await pilot.press("i")
        await pilot.pause()
        assert_harmless(pilot.app)


async def test_in_dataset_rows_and_answers(make_run: Any, workers: Any) -> None:
    workers.answer = ["\x1b]0;ow", "ned\x07 [@click=app.quit]x[/] <s>[INST] hi"]
    async with CodexApp(make_run()).run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("3", "d")
        await until(pilot, lambda: "Row 1 / 3" in screen_text(pilot.app))
        assert_harmless(pilot.app)
        await pilot.press("v")
        await pilot.pause()
        assert_harmless(pilot.app)
        await pilot.press("d", "c", "h", "i", "enter")
        await until(pilot, lambda: "16 tokens/s" in screen_text(pilot.app))
        assert_harmless(pilot.app)


@pytest.mark.parametrize("field", ["title", "description"])
async def test_in_profiles(home: Path, field: str) -> None:
    own = locations.user_profiles()
    own.mkdir(parents=True)
    escaped = EVIL.encode("unicode_escape").decode().replace("\\x", "\\u00")
    (own / "a.toml").write_text(f'{field} = "{escaped}"\n[model]\nname = "x"\n')
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, ProfilesScreen)
        while not screen.picked or screen.picked.name != "a":
            await pilot.press("down")
            await pilot.pause()
        assert_harmless(pilot.app)


async def test_in_the_list_of_runs_and_in_notices(make_run: Any) -> None:
    make_run(end="failed", steps=60, message=EVIL)
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "zombies-1" in screen_text(pilot.app))
        assert "\x1b" not in screen_text(pilot.app)
        pilot.app.post_message(Trouble(EVIL, EVIL))
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))
        assert_harmless(pilot.app)
