"""Tests of the text of a row: a row is read and laid out only for the pane that shows it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from support.fake_inspect import WordWorker

from codex_tui.data import rows
from codex_tui.data.target import Target
from codex_tui.data.view import DataView
from codex_tui.ui.data import text
from training.dataset.index import RowIndex


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the called functions among those that read, parse and lay out a row."""
    names: list[str] = []

    def count(owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def counting(*arguments: Any) -> Any:
            names.append(name)
            return function(*arguments)

        monkeypatch.setattr(owner, name, counting)

    count(RowIndex, "record")
    count(rows, "read_row")
    count(text, "draw_raw")
    return names


async def test_a_row_is_read_and_laid_out_once_and_only_for_its_pane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    monkeypatch.setenv("CODEX_TUI_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("codex_tui.workers.process.Worker", WordWorker)
    monkeypatch.setattr("codex_tui.environment.build.find_python", lambda *a: Path("/usr/bin/python3"))
    profile, dataset = tmp_path / "mine.toml", tmp_path / "rows.jsonl"
    profile.write_text('[model]\nname = "demo:llama"\n')
    dataset.write_text(json.dumps({"instruction": "Who?", "response": "Rook", "source": "guide"}) + "\n")
    view = DataView(Target.from_profile(profile, [str(dataset)]), lambda: None)
    await view.set_ids(True)
    await view.start()
    while not (view.reader and view.reader.row and view.overview and not view.works):
        await asyncio.sleep(0.01)
    for pane, expected in (("seen", []), ("tokens", []), ("raw", ["record", "read_row", "draw_raw"])):
        calls.clear()
        shown = text.draw_pane(view, pane, False)
        assert shown and any("Rook" in row.plain for row in shown)
        assert calls == expected
    dataset.write_text("gone\n")
    for pane in ("seen", "raw"):  # the row of the old file is not shown as a row of the new one
        shown = text.draw_pane(view, pane, False)
        assert shown and shown[0].plain.startswith("✗") and "rows.jsonl" in shown[0].plain
    await view.close()
