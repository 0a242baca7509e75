"""The data screen shows which tokens are learned and which are cut off, for any file, on any terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.data_screen import SIZE, app_on, counted, screen_of, see
from support.pilot import screen_text, until
from textual.pilot import Pilot

from codex_tui.ui.data.screen import DataScreen
from codex_tui.ui.editor.screen import EditorScreen
from training.contract.inspect_messages import ShowRow

NARROW = (80, 24)
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)], ids=lambda size: f"{size[0]}x{size[1]}")


async def test_a_row_as_the_model_sees_it_raw_and_in_tokens(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await counted(pilot)
        text = await see(pilot, "<|user|>What comes 0 at the roof?", "▌ learned")
        assert "▌ Hold roof 0. <|eot_id|>" in text  # the learned part has its sign
        assert "   <|user|>What" in text  # the part that is not learned has none
        await pilot.press("v")
        await see(pilot, "as in the file", "guide 0", "source   ignored")
        await pilot.press("v")
        await see(pilot, "What │comes │0 │at │the │roof? │")
        await pilot.press("i")
        text = await see(pilot, "ids")
        assert any("▌" in row and "Hold" in row and " 8 " in row for row in text.splitlines())  # with its id
        assert {request.ids for request in worker.started[0].sent if isinstance(request, ShowRow)} == {False, True}
    assert worker.started[0].closed


async def test_the_cut_is_drawn_at_its_place_and_moves_at_once(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await counted(pilot)
        await pilot.press("g", "7", "enter")
        text = await see(pilot, "Row 7 of 40", "cut at 40: 28 tokens are lost", "max_seq_length 40")
        lines = [row.split("│", 2)[-1] for row in text.splitlines()]
        at = next(number for number, row in enumerate(lines) if "┄┄ cut at" in row)
        assert any("▌" in row and "word" in row for row in lines[:at])
        assert all("┊" in row for row in lines[at + 1 :] if "word" in row)
        await pilot.press("right_square_bracket")
        await see(pilot, "if cut at 64 (profile: 40)", "cut at 64: 4 tokens are lost")
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "are lost" not in screen_text(pilot.app))
        await pilot.press("equals_sign", "8", "enter")
        await pilot.press("equals_sign", *"16", "enter")
        await see(pilot, "if cut at 16")
        await pilot.press("4")
        await see(pilot, "2 cut short")
        await pilot.press("backspace")
        text = await see(pilot, "max_seq_length 40", "38 of 40 rows", "2 cut short", "1 answer lost")
        assert "(profile:" not in text


async def test_each_row_of_several_files_names_its_file(home: Path, profile: Path, worker: Any) -> None:
    folder = home / "folder"
    folder.mkdir()
    (folder / "a.csv").write_text("question,answer\nWho?,Rook\nWho,else,now\n")
    (folder / "b.json").write_text('[{"question": "Where?", "answer": "Here"},\n {"question": "Why?"}]')
    async with app_on(folder, profile).run_test(size=SIZE) as pilot:
        await see(pilot, "folder, 2 files · 4 rows", "Who? · Rook", "Where? · Here", "a.csv, line 2")
        await pilot.press("b")
        await see(pilot, "a.csv, line 3  has", "b.json, line 2", "✗ has 3 fields, and the header names 2")


async def test_a_small_terminal_shows_the_list_or_the_row(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=NARROW) as pilot:
        await counted(pilot)
        assert "▌ learned" not in screen_text(pilot.app)
        await pilot.press("down", "enter")
        await see(pilot, "Row 2 of 40", "▌ learned")
        assert "Rows: all" not in screen_text(pilot.app)
        await pilot.press("right")
        await see(pilot, "Row 3 of 40", "What comes 2")
        await pilot.press("escape")
        await see(pilot, "Rows: all", "3 of 40")
        await pilot.resize_terminal(*SIZE)
        await see(pilot, "Rows: all", "Row 3 of 40")


async def test_empty_and_unreadable_files(home: Path, profile: Path, worker: Any) -> None:
    empty, broken = home / "empty.jsonl", home / "broken.json"
    empty.write_text("\n")
    async with app_on(empty, profile).run_test(size=SIZE) as pilot:
        await see(pilot, "The dataset has no rows.")
        await pilot.press("down", "enter", "4", "slash", "x", "escape", "l", "g", "5", "enter")
        await see(pilot, "0 rows")
    broken.write_bytes(b'[{"instruction": "\xff"}]')
    async with app_on(broken, None).run_test(size=SIZE) as pilot:
        await see(pilot, "is not UTF-8 text")


async def test_a_huge_row_is_shown_in_part_and_says_so(home: Path, profile: Path, worker: Any) -> None:
    path = home / "huge.jsonl"
    words = "wörd " * 300_000
    path.write_text(json.dumps({"instruction": "Tell all.", "response": words}, ensure_ascii=False) + "\n")
    async with app_on(path, profile).run_test(size=SIZE) as pilot:
        await counted(pilot)
        await pilot.press("2", "tab", "end")
        await until(pilot, lambda: "wörd" in screen_text(pilot.app))
        assert "1,400,000 characters are not shown" in pilot.app.screen.query_one("#row").plain
        await pilot.press("3")
        await until(pilot, lambda: "tokens are not shown" in pilot.app.screen.query_one("#row").plain)


async def test_300_000_rows_scroll_at_once(home: Path) -> None:
    path = home / "many.jsonl"
    path.write_text("".join(f'{{"instruction":"q{number}","response":"a"}}\n' for number in range(300_000)))
    async with app_on(path, None).run_test(size=SIZE) as pilot:
        await see(pilot, "q0 · a")
        await until(pilot, lambda: screen_of(pilot).view.rows.complete)
        await pilot.press("end")
        await see(pilot, "q299999 · a", "300,000 of 300,000")
        await pilot.press("g", *"150000", "enter")
        await see(pilot, "q149999 · a")
        assert len(screen_of(pilot).view.rows._previews) < 500  # only visible rows were read


async def test_editing_the_profile_moves_the_cut(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await counted(pilot)
        await pilot.press("down", "right_square_bracket", "e")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        await pilot.press("s")
        await until(pilot, lambda: "max_seq_length = 64" in profile.read_text())
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen))
        await counted(pilot)
        text = await see(pilot, "max_seq_length 64", "Row 2 of 40")
        assert "(profile:" not in text
    assert [one.profile.model.max_seq_length for one in worker.started] == [40, 64]
    assert all(one.closed for one in worker.started)


def prepare_snapshot(*keys: str, then: str) -> Any:
    async def act(pilot: Pilot[Any]) -> None:
        await counted(pilot)
        await pilot.press(*keys)
        await see(pilot, then)
        await until(pilot, lambda: not screen_of(pilot).view.works and screen_of(pilot).view.reader.row)

    return act


@SIZES
@pytest.mark.parametrize(
    ("keys", "then"),
    [
        (("g", "7", "enter", "enter"), "cut at 40"),
        (("down", "3", "i"), "ids"),
        (("4",), "rows usable"),
        (("b",), "not valid JSON"),
    ],
    ids=["cut", "ids", "overview", "bad"],
)
def test_pictures(
    snap_compare: Any,
    dataset: Path,
    profile: Path,
    worker: Any,
    keys: tuple[str, ...],
    then: str,
    size: tuple[int, int],
) -> None:
    assert snap_compare(app_on(dataset, profile), terminal_size=size, run_before=prepare_snapshot(*keys, then=then))
