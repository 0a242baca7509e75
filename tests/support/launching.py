"""The launch dialog over a small dataset."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from codex_tui.base import locations
from codex_tui.ui.app import CodexApp
from codex_tui.ui.kit.dataset_input import DatasetInput
from codex_tui.ui.launch.dialog import LaunchDialog
from support.pilot import screen_text, settled, until

SIZE = (120, 36)
MODEL = "unsloth/Llama-3.2-3B-Instruct"


def write_rows(folder: Path) -> None:
    """Write a dataset of 300 rows, of which 148 are longer than 128 words, and one with a single row."""
    (folder / "data").mkdir(parents=True)
    lengths = [40] * 152 + [150] * 148
    rows = [{"instruction": f"Question {n}", "response": "word " * (size - 8)} for n, size in enumerate(lengths)]
    (folder / "guide.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "tips.jsonl").write_text(json.dumps(rows[0]) + "\n")


def enter_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with the rows of `write_rows` the current one."""
    folder = home / "work"
    write_rows(folder)
    monkeypatch.chdir(folder)
    return folder


def write_profile(folder: Path) -> Path:
    """Write a profile of the person that cuts rows of the dataset in `folder` at 128 tokens."""
    path = locations.user_profiles() / "mine.toml"
    path.parent.mkdir(parents=True)
    path.write_text(f'[model]\nname = "{MODEL}"\nmax_seq_length = 128\n[dataset]\npath = "{folder}/guide.jsonl"\n')
    return path


@asynccontextmanager
async def launching(size: tuple[int, int] = SIZE) -> AsyncIterator[Pilot[Any]]:
    async with CodexApp().run_test(size=size) as pilot:
        await settled(pilot)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, LaunchDialog))
        yield pilot


async def see(pilot: Pilot[Any], *texts: str) -> None:
    """Waits for the texts, wherever the dialog breaks its lines."""

    def words() -> str:
        lines = screen_text(pilot.app).splitlines()  # the dialog is the widest part between two borders of a line
        return " ".join(" ".join(max(line.split("│"), key=len) for line in lines).split())

    try:
        await until(pilot, lambda: all(text in words() for text in texts))
    except AssertionError:
        raise AssertionError(f"{texts} not in: {words()}") from None


def dataset(pilot: Pilot[Any]) -> str:
    return pilot.app.screen.query_one(DatasetInput).value
