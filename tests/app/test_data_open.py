"""Tests of opening the data screen. A dataset of the Hub is downloaded first, and its progress is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from support.data_screen import SIZE, see
from support.pilot import screen_text, settled, until
from textual.pilot import Pilot
from textual.widgets import Input

from codex_tui.base.errors import BadInput
from codex_tui.base.progress import OnProgress, Progress
from codex_tui.hub.download import FetchedDataset
from codex_tui.ui.app import CodexApp
from codex_tui.ui.data.ask_dataset import AskDataset
from codex_tui.ui.data.open import Fetching
from codex_tui.ui.data.screen import DataScreen
from codex_tui.ui.kit.dialogs import Notice
from codex_tui.ui.profiles.screen import ProfilesScreen


class FakeDownload:
    """A download that stops at 25 % until a test sets `go_on`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.go_on, self.ended = Event(), Event()
        self.fails = self.arrived = False

    def fetch(self, repo: str, revision: str | None, report: OnProgress) -> FetchedDataset:
        try:
            report(Progress(f"fetching {repo}", 25, 100))
            self.go_on.wait(60)
            report(Progress(f"fetching {repo}", 100, 100))
            self.arrived = True
        finally:
            self.ended.set()
        if self.fails:
            raise BadInput("The Hub stopped answering.", "Run it again.")
        return FetchedDataset(repo, [self.file], "c" * 40, self.file.parent)


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDownload]:
    (home / "rows.jsonl").write_text(json.dumps({"instruction": "Where do two hold?", "response": "The dock."}) + "\n")
    (home / "shipped" / "broken.toml").unlink()
    small = home / "shipped" / "small-card.toml"
    small.write_text(small.read_text().replace("demo:zombie-waves", "ann/rows"))
    download = FakeDownload(home / "rows.jsonl")
    monkeypatch.setattr("codex_tui.hub.download.fetch", download.fetch)
    yield download
    download.go_on.set()


async def start_download(pilot: Pilot[Any]) -> None:
    await settled(pilot)
    await pilot.press("d")
    await until(pilot, lambda: isinstance(pilot.app.screen, Fetching))
    await until(pilot, lambda: "fetching ann/rows" in screen_text(pilot.app))
    assert "25 %" in screen_text(pilot.app)


async def test_the_progress_of_a_download_is_shown(hub: FakeDownload) -> None:
    async with CodexApp().run_test(size=SIZE) as pilot:
        await start_download(pilot)
        hub.go_on.set()
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))
        await until(pilot, lambda: "Where do two hold?" in screen_text(pilot.app))
        assert not any(isinstance(screen, Fetching) for screen in pilot.app.screen_stack)


async def test_escape_ends_a_download(hub: FakeDownload) -> None:
    async with CodexApp().run_test(size=SIZE) as pilot:
        await start_download(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen))
        hub.go_on.set()
        await until(pilot, hub.ended.is_set)
        await pilot.pause(0.1)
        assert isinstance(pilot.app.screen, ProfilesScreen)
    assert not hub.arrived


async def test_a_failed_download_is_reported(hub: FakeDownload) -> None:
    hub.fails = True
    async with CodexApp().run_test(size=SIZE) as pilot:
        await start_download(pilot)
        hub.go_on.set()
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))
        assert "The Hub stopped answering." in screen_text(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen))


async def test_a_fast_search_shows_no_progress(hub: FakeDownload) -> None:
    hub.go_on.set()
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen | Fetching))
        assert isinstance(pilot.app.screen, DataScreen)


async def test_it_opens_from_the_picker_and_from_the_cockpit(home: Path, make_run: Any, worker: Any) -> None:
    app = CodexApp(make_run())
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))
        await see(pilot, "run zombies-1", "440 rows")
        await pilot.press("escape", "p")
        await settled(pilot)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))
        await see(pilot, "profile small-card")
        await pilot.press("question_mark")
        await see(pilot, "Data")
        await pilot.press("escape", "ctrl+p")
        await until(pilot, lambda: bool(pilot.app.screen.query(Input)))
        await pilot.press(*"longest")
        await see(pilot, "The longest rows first")


async def test_a_profile_without_a_dataset_asks_for_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    (home / "rows.jsonl").write_text(json.dumps({"instruction": "Where do two hold?", "response": "The dock."}) + "\n")
    (home / "shipped" / "broken.toml").unlink()
    small = home / "shipped" / "small-card.toml"
    small.write_text(small.read_text().replace('path = "demo:zombie-waves"', ""))
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("d")
        await see(pilot, "small-card names no dataset")
        await pilot.press("enter")
        await until(pilot, lambda: any("Type a name first" in note.message for note in pilot.app._notifications))
        await pilot.press(*"nowhere.jsonl", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))
        await see(pilot, "no such dataset file")
        await pilot.press("escape", "d")
        await until(pilot, lambda: isinstance(pilot.app.screen, AskDataset))
        assert pilot.app.screen.query_one(Input).value == "nowhere.jsonl"  # what was typed is not lost
        await pilot.press("delete", "down", "enter", "enter")  # the suggestion: the file of the current folder
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))
        await see(pilot, "Where do two hold?")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen))
        await pilot.press("d", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen))
