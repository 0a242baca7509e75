"""The launch dialog counts the rows of a dataset, and helps to name one: it suggests and completes paths."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest
from support.config_file import write_config
from support.fake_inspect import WordWorker
from support.launching import dataset, enter_folder, launching, see, write_profile
from support.pilot import until
from support.screens import EVIL
from textual.pilot import Pilot
from textual.widgets import Input

from codex_tui.base import locations
from codex_tui.data import check
from codex_tui.ui.kit.dataset_input import DatasetInput
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory


@pytest.fixture
def folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return enter_folder(home, monkeypatch)


@pytest.fixture
def mine(folder: Path) -> Path:
    return write_profile(folder)


async def test_files_that_are_left_out_are_counted(mine: Path, folder: Path, worker: type[WordWorker]) -> None:
    (folder / "rows").mkdir()
    (folder / "guide.jsonl").rename(folder / "rows" / "guide.jsonl")
    (folder / "rows" / "README.md").touch()
    (folder / "rows" / "guide_test.jsonl").touch()
    mine.write_text(mine.read_text().replace("guide.jsonl", "rows"))
    async with launching((80, 24)) as pilot:
        await see(pilot, "148 of 300 rows are cut", "2 files of the dataset are left out: Esc, d, 4 says why.")


async def test_leaving_the_dialog_ends_the_count(
    mine: Path, worker: type[WordWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "holds_back", True)
    async with launching() as pilot:
        await see(pilot, "counting the tokens of 100 rows 25 %")
        await pilot.press("escape")
        await until(pilot, lambda: worker.started and all(each.closed for each in worker.started))


async def test_a_large_dataset_is_not_counted_before_the_start(
    mine: Path, worker: type[WordWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "MAX_ROWS_COUNTED", 299)
    async with launching() as pilot:
        await see(pilot, "not counted: 300 rows are too many to count before the start.")


async def test_another_dataset_is_checked_after_it_was_typed(mine: Path, worker: type[WordWorker]) -> None:
    async with launching() as pilot:
        await see(pilot, "148 of 300 rows")
        pilot.app.screen.query_one(DatasetInput).value = ""
        await pilot.press(*"guid.jsonl")
        await see(pilot, "no such dataset file. Did you mean guide.jsonl?")
        pilot.app.screen.query_one(DatasetInput).value = "tips.jsonl"
        await see(pilot, "1 to train on; none is cut at 128 tokens")
        pilot.app.screen.query_one(DatasetInput).value = "me/waves"
        await see(pilot, "checked after the download from the Hub")


async def test_late_figures_of_an_earlier_dataset_are_not_shown(
    mine: Path, worker: type[WordWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    late, release, advise = Event(), Event(), check.CountedRows.advise

    def advise_late(self: check.CountedRows, profile: Profile) -> Any:
        if not late.is_set():
            late.set()
            release.wait(60)
        return advise(self, profile)

    async with launching() as pilot:
        await see(pilot, "148 of 300 rows are cut at 128 tokens")
        monkeypatch.setattr(check.CountedRows, "advise", advise_late)
        await pilot.press("ctrl+l")
        await until(pilot, late.is_set)
        pilot.app.screen.query_one(DatasetInput).value = "tips.jsonl"
        await see(pilot, "1 to train on; none is cut at 192 tokens for this run")
        release.set()
        await until(pilot, lambda: not any(each.group == "advice" and each.is_running for each in pilot.app.workers))
        assert pilot.app.screen.checks.rows.overview.kept == 1


async def test_paths_and_earlier_datasets_are_suggested(home: Path, folder: Path, worker: Any) -> None:
    shipped = home / "shipped" / "small-card.toml"
    shipped.write_text(shipped.read_text().replace('path = "demo:zombie-waves"', ""))
    run = RunDirectory(locations.runs_home() / "earlier-1")
    run.create()
    other = home / "other.jsonl"
    other.write_text("{}\n")
    write_config(run, {"dataset": str(other), "files": [str(other)]})
    async with launching() as pilot:
        await see(pilot, "choose a dataset")
        await until(pilot, lambda: pilot.app.screen.query_one(DatasetInput)._names)
        await pilot.press("down")
        await see(pilot, "guide.jsonl", "tips.jsonl", "↓ ↑ choose")
        assert dataset(pilot) == str(other)
        await pilot.press("down")
        assert dataset(pilot) == "guide.jsonl"
        await pilot.press("up", "up")  # back to what was typed
        assert dataset(pilot) == ""
        await pilot.press("down", "down", "enter")  # takes the suggestion, and does not launch yet
        assert dataset(pilot) == "guide.jsonl"
        await see(pilot, "Enter launch", "285 to train on")


async def test_a_long_suggestion_keeps_its_end_and_the_count_of_the_others(folder: Path, worker: Any) -> None:
    deep = f"data/{'x' * 100}/"
    (folder / deep).mkdir()
    for number in range(8):
        (folder / deep / f"wiki-{number}.jsonl").write_text("{}\n")
    async with launching((80, 24)) as pilot:
        pilot.app.screen.query_one(DatasetInput).value = deep
        await see(pilot, "xxx/wiki-0.jsonl", "xxx/wiki-5.jsonl 2 more")
        await pilot.press(*["down"] * 8)
        await see(pilot, "xxx/wiki-7.jsonl 2 more")  # the chosen one too


async def test_tab_completes_a_path_and_then_goes_on(folder: Path, worker: Any) -> None:
    (folder / "data" / "wiki-1.jsonl").write_text("{}\n")
    (folder / "data" / "wiki-2.jsonl").write_text("{}\n")
    async with launching() as pilot:
        field = pilot.app.screen.query_one(DatasetInput)
        await pilot.press("d")  # replaces the selected dataset of the profile
        await until(pilot, lambda: field._names == ["data/"])
        await pilot.press("tab")
        await until(pilot, lambda: field._names == ["data/wiki-1.jsonl", "data/wiki-2.jsonl"])
        await pilot.press("tab")
        assert field.value == "data/wiki-"
        await until(pilot, lambda: field.is_suggesting)
        await pilot.press("2", "tab")
        assert field.value == "data/wiki-2.jsonl" or await _completes(pilot, field)
        await pilot.press("tab")
        await until(pilot, lambda: pilot.app.screen.query_one("#name", Input).has_focus)
        assert not field.is_suggesting


async def _completes(pilot: Pilot[Any], field: DatasetInput) -> bool:
    """Whether Tab completes the path after the suggestions for it have come."""
    await until(pilot, lambda: field._names == ["data/wiki-2.jsonl"])
    await pilot.press("tab")
    return field.value == "data/wiki-2.jsonl"


async def test_names_with_control_characters_are_not_suggested(folder: Path, worker: Any) -> None:
    (folder / f"zz{EVIL.replace('/', '')}.jsonl").write_text("{}\n")
    (folder / "zz-good.jsonl").write_text("{}\n")
    async with launching() as pilot:
        await pilot.press("z", "z")
        await until(pilot, lambda: pilot.app.screen.query_one(DatasetInput)._names == ["zz-good.jsonl"])
