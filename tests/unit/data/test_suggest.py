"""Tests of the suggested names of datasets: recent ones, paths to complete, and the nearest name to a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.config_file import write_config

from codex_tui.base import locations
from codex_tui.base.errors import BadInput
from codex_tui.data import suggest
from codex_tui.data.sources import find_source
from codex_tui.data.suggest import complete_common, complete_path, find_similar, list_recent_datasets, suggest_datasets
from training.contract.run_directory import RunDirectory


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two data files, a folder with one, and a file of another kind."""
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    folder = tmp_path / "work"
    (folder / "data").mkdir(parents=True)
    for name in ("guide.jsonl", "tips.csv", "data/wiki.parquet", "notes.txt", ".hidden.jsonl"):
        (folder / name).write_text("{}")
    monkeypatch.chdir(folder)
    return folder


def test_paths_are_completed(folder: Path) -> None:
    assert complete_path("") == ["guide.jsonl", "tips.csv", "data/"]
    assert complete_path("g") == complete_path("G") == ["guide.jsonl"]
    assert complete_path("data/") == complete_path("data/w") == ["data/wiki.parquet"]
    assert complete_path(".") == [".hidden.jsonl"]
    assert complete_path(f"{folder}/ti") == [f"{folder}/tips.csv"]
    assert complete_path("nowhere/x") == complete_path("\0") == []


def test_a_folder_with_many_files_is_read_in_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggest, "MAX_ENTRIES", 2)
    assert len(complete_path("")) <= 2


def test_the_common_part_is_completed() -> None:
    assert complete_common("g", ["guide-1.jsonl", "guide-2.jsonl", "tips.csv"]) == "guide-"
    assert complete_common("x", ["guide.jsonl"]) == "x"


def test_the_datasets_of_the_newest_runs_are_suggested(folder: Path) -> None:
    names = ["guide.jsonl", "guide.jsonl", "gone.jsonl", "tips.csv"]
    for number, name in enumerate(names):
        run = RunDirectory(locations.runs_home() / f"run-{number}")
        run.create()
        run.profile.write_text("")
        write_config(run, {"dataset": str(folder / name), "files": [str(folder / name)]})
    demo = RunDirectory(locations.runs_home() / "demo-1")
    demo.create()
    write_config(demo, {"dataset": "demo:zombie-waves"})
    hub = RunDirectory(locations.runs_home() / "hub-1")
    hub.create()
    write_config(hub, {"dataset": "hf://me/waves", "files": [], "hub": {"repo": "me/waves", "revision": "a" * 40}})
    assert sorted(list_recent_datasets()) == ["guide.jsonl", "me/waves", "tips.csv"]
    assert suggest_datasets("", ["me/waves"]) == ["me/waves", "guide.jsonl", "tips.csv"]
    assert suggest_datasets("WAV", ["me/waves"]) == ["me/waves"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("guid.jsonl", "guide.jsonl"),
        ("guide.json", "guide.jsonl"),
        ("Guide", "guide.jsonl"),
        ("dta/wiki.parquet", "data"),
        ("data/wikis.parquet", "data/wiki.parquet"),
        ("zebra.jsonl", ""),
        ("x" * 5000, ""),
    ],
)
def test_the_nearest_name_is_found(folder: Path, wrong: str, right: str) -> None:
    assert find_similar(wrong) == right
    absolute = str(folder / right) if right else ""
    assert find_similar(str(folder / wrong)) == absolute
    if right and "/" not in right and right != "data" and wrong != "Guide":
        with pytest.raises(BadInput) as error:
            find_source(wrong)
        assert error.value.hint == f"Did you mean {right}?"
