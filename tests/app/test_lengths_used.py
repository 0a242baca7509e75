"""What becomes of the max_seq_length that a person picks on the lengths screen: saved, edited, or used for a run."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from support import data_screen
from support.data_screen import app_on, screen_of, see
from support.lengths_screen import compared, notices, opened, picked, write_rows
from support.pilot import screen_text, settled, until
from textual.pilot import Pilot
from textual.widgets import Static

from codex_tui.base import locations
from codex_tui.data import check
from codex_tui.data.target import Target
from codex_tui.profiles.library import require_profile
from codex_tui.ui.app import CodexApp
from codex_tui.ui.data.screen import DataScreen
from codex_tui.ui.editor.screen import EditorScreen
from codex_tui.ui.kit.dialogs import Notice
from codex_tui.ui.lengths.screen import LengthsScreen
from codex_tui.ui.messages import OpenProfile
from codex_tui.ui.profiles.screen import ProfilesScreen

SIZE = (120, 36)


@pytest.fixture
def dataset(home: Path) -> Path:
    return write_rows(home / "rows.jsonl")


def read_length(path: Path) -> Any:
    return require_profile(path).model.max_seq_length


async def test_enter_saves_the_length_in_ones_own_profile(dataset: Path, profile: Path, worker: Any) -> None:
    profile.write_text("# mine\n" + profile.read_text())
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("right", "right", "d", "enter")
        await until(pilot, lambda: notices(pilot) == ['Saved mine.toml: max_seq_length = 192, long_rows = "drop"'])
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen) and screen_of(pilot).view.own_limit == 192)
        assert profile.read_text().startswith("# mine\n")
        values = tomllib.loads(profile.read_text())
        assert values["model"] == {"name": "demo:llama", "max_seq_length": 192}
        assert values["dataset"] == {"eval_fraction": 0.1, "long_rows": "drop"}
        await opened(pilot, "drop")  # the new values are the profile's own
        assert picked(pilot) == 192
        await pilot.press("enter")
        await until(pilot, lambda: "mine has these values already." in notices(pilot))


async def test_a_shipped_profile_gets_a_copy_with_the_length(dataset: Path, home: Path, worker: Any) -> None:
    shipped = locations.shipped_profiles() / "small.toml"
    shipped.write_text(data_screen.PROFILE)
    async with app_on(dataset, shipped).run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        draft = pilot.app.screen.draft
        assert (draft.is_new, draft.dirty, draft.own["extends"], draft.own["model.max_seq_length"]) == (
            True, True, "small", 128,
        )  # fmt: skip
        assert read_length(shipped) == 40


async def test_a_profile_that_cannot_be_written_is_not_lost(
    dataset: Path, profile: Path, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await opened(pilot)
        before = profile.read_text()
        monkeypatch.setattr("training.contract.files.write_atomically", fail)
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))
        message = str(pilot.app.screen.query(Static).first().render())  # the path may wrap on the screen
        assert message == f"{profile} can't be written: No space left on device."
        assert profile.read_text() == before


async def test_a_run_keeps_its_length(dataset: Path, make_run: Any, worker: Any) -> None:
    run = make_run()
    config = json.loads(run.config.read_text())
    config |= {"dataset": str(dataset), "files": [str(dataset)]}
    run.config.write_text(json.dumps(config))
    async with CodexApp(data=Target.from_run(run)).run_test(size=SIZE) as pilot:
        await opened(pilot)
        assert "Enter" not in screen_text(pilot.app).splitlines()[-1]
        await pilot.press("left", "enter")
        assert isinstance(pilot.app.screen, LengthsScreen)


async def edited(pilot: Pilot[Any]) -> EditorScreen:
    """Open the only profile of one's own in the editor."""
    await settled(pilot)
    pilot.app.post_message(OpenProfile("mine"))
    await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen) and pilot.app.screen.picked.name == "mine")
    await pilot.press("e")
    await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen) and pilot.app.screen.focused)
    assert isinstance(pilot.app.screen, EditorScreen)
    return pilot.app.screen


async def test_the_editor_sets_the_length_as_an_unsaved_change(dataset: Path, profile: Path, worker: Any) -> None:
    profile.write_text(profile.read_text() + f'path = "{dataset}"\n')
    before = profile.read_text()
    async with CodexApp().run_test(size=SIZE) as pilot:
        editor = await edited(pilot)
        editor.show_field("model.max_seq_length")
        await see(pilot, "m compare lengths")
        worker.holds_back = True
        await pilot.press("m")
        await see(pilot, "Counting the tokens of 100 rows", "25 %")
        worker.started[-1].go_on()
        await compared(pilot)
        await pilot.press("right", "right", "enter")
        await until(pilot, lambda: pilot.app.screen is editor and editor.draft.dirty)
        assert editor.draft.own["model.max_seq_length"] == 192
        assert profile.read_text() == before
        assert all(each.closed for each in worker.started)
        worker.holds_back = False
        await pilot.press("m")
        await compared(pilot)
        await pilot.press("p")  # the list of profiles is below the editor, whose change would be lost
        assert "The profile has unsaved changes. Save it (s) or leave it (Esc) first." in notices(pilot)
        await pilot.press("escape", "u")
        await until(pilot, lambda: not editor.draft.dirty)


async def test_the_editor_says_why_it_can_compare_no_lengths(
    dataset: Path, profile: Path, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with CodexApp().run_test(size=SIZE) as pilot:
        await edited(pilot)
        await pilot.press("m")
        await see(pilot, "The profile mine names no dataset.")
    profile.write_text(profile.read_text() + 'path = "owner/rows"\n')
    async with CodexApp().run_test(size=SIZE) as pilot:
        await edited(pilot)
        await pilot.press("m")
        await see(pilot, "The rows are compared after their download from the Hub.")
    profile.write_text(profile.read_text().replace("owner/rows", str(dataset)))
    monkeypatch.setattr(check, "MAX_ROWS_COUNTED", 10)
    async with CodexApp().run_test(size=SIZE) as pilot:
        await edited(pilot)
        await pilot.press("m")
        await see(pilot, "41 rows are too many to count before the start.")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
