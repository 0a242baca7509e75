"""No field loses a line of a pasted text: not the launch dialog, the data screen, the editor, nor the list of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.data_screen import app_on, counted
from support.pilot import settled, until
from textual.events import Paste
from textual.widgets import Input

from codex_tui.base import locations
from codex_tui.ui.app import CodexApp
from codex_tui.ui.editor.screen import EditorScreen
from codex_tui.ui.kit.dialogs import Ask
from codex_tui.ui.launch.dialog import LaunchDialog
from codex_tui.ui.runs.screen import RunsScreen

MINE = 'title = "Mine"\n[model]\nname = "unsloth/Llama-3.2-3B-Instruct"\n'


async def paste(pilot: Any, text: str) -> str:
    """Pastes into the focused field and returns what it then has."""
    field = pilot.app.focused
    assert isinstance(field, Input)
    before = field.value
    pilot.app.post_message(Paste(text))
    await until(pilot, lambda: field.value != before)
    return field.value


async def test_a_dataset_is_pasted_with_its_line_end(home: Path) -> None:
    async with CodexApp().run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, LaunchDialog))
        pilot.app.screen.query_one("#dataset", Input).value = ""
        assert await paste(pilot, "/data/my guide.jsonl\r") == "/data/my guide.jsonl"
        assert await paste(pilot, "\r\n  a\r\rb\x1b[2J\n") == "/data/my guide.jsonla b␛[2J"


async def test_the_editor_takes_lists_and_texts_of_several_lines(home: Path) -> None:
    mine = locations.user_profiles() / "mine.toml"
    mine.parent.mkdir(parents=True)
    mine.write_text(MINE)
    async with CodexApp().run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        editor = pilot.app.screen
        assert isinstance(editor, EditorScreen)
        for path, pasted, value in (
            ("lora.target_modules", "q_proj,\r  k_proj\r\rv_proj", ["q_proj", "k_proj", "v_proj"]),
            ("dataset.system_prompt", 'You are "Rook".\nAnswer\tshortly.', 'You are "Rook".\nAnswer\tshortly.'),
            ("model.max_seq_length", "51\n2", None),  # refused: a number has one line
        ):
            await pilot.press("slash")
            await until(pilot, lambda: isinstance(pilot.app.screen, Ask))
            pilot.app.screen.query_one(Input).value = path
            await pilot.press("enter")
            await until(pilot, lambda: pilot.app.screen is editor and editor.picked.schema.path == path)  # noqa: B023
            await pilot.press("enter")
            await until(pilot, lambda: editor.form.typing)
            await paste(pilot, pasted)
            await pilot.press("enter")
            if value is None:
                assert editor.form.typed == "51 2"
            else:
                await until(pilot, lambda: editor.picked.value == value)  # noqa: B023


async def test_a_search_for_several_lines(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=(120, 36)) as pilot:
        await counted(pilot)
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(pilot.app.focused, Input))
        assert await paste(pilot, "wave\n12\n") == "wave 12"


async def test_the_filter_of_the_runs_takes_several_lines(home: Path) -> None:
    async with CodexApp().run_test(size=(120, 36)) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen))
        await pilot.press("slash")
        await until(pilot, lambda: isinstance(pilot.app.focused, Input))
        assert await paste(pilot, "zombies\nllama\n") == "zombies llama"
