"""The overview shows the figures of all rows, and accounts for each row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.data_screen import app_on, counted, see

from codex_tui.ui.data.histogram import draw_histogram


async def test_the_overview_shows_the_figures_of_all_rows(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=(200, 60)) as pilot:
        await counted(pilot)
        await pilot.press("4")
        text = await see(pilot, "38 of 40 rows usable", "max_seq_length 40 ┄┄")
        for expected in ("not valid JSON", "longer than 40 tokens", "of 38 answers lost", "lose their end", "per epoch",
                         "used instruction, response", "ignored source", "p50", "p99", "line 11", "→"):  # fmt: skip
            assert expected in text


async def test_the_overview_accounts_for_every_bad_row(home: Path, profile: Path, worker: Any) -> None:
    bad = ["{", "[]", '{"question": "a"}', '{"answer": "a"}', '{"question": "", "answer": "a"}',
           '{"question": "a", "answer": ""}', '{"question": "a", "answer": 5}', '{"messages": []}']  # fmt: skip
    good = [json.dumps({"instruction": f"Who is {n}?", "response": f"Rook {n}."}) for n in range(4)]
    path = home / "bad.jsonl"
    path.write_text("\n".join([*good, *bad]) + "\n")
    async with app_on(path, profile).run_test(size=(200, 60)) as pilot:
        await counted(pilot)
        await pilot.press("4")
        await see(pilot, "4 usable, 8 skipped", "2  for other reasons; press b to list all")


async def test_the_overview_lists_the_files_that_are_left_out(
    home: Path, dataset: Path, profile: Path, worker: Any
) -> None:
    folder = home / "guide"
    for name in ("train/a.jsonl", "train/b.jsonl", "test/a.jsonl", "dev.jsonl", *(f"notes/{n}.txt" for n in range(5))):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(dataset.read_bytes())
    async with app_on(folder, profile).run_test(size=(200, 60)) as pilot:
        await counted(pilot)
        await pilot.press("4")
        await see(
            pilot,
            "2  read for training; 1 file only for the evaluation",
            "1  left out (the test split): test/a.jsonl",
            "5  left out (not a data file): notes/0.txt, notes/1.txt, notes/2.txt and 2 more",
        )


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=200), st.integers(16, 6000))
def test_the_histogram_counts_every_row_once(tokens: list[int], limit: int) -> None:
    drawn = [line.plain for line in draw_histogram(sorted(tokens), limit, {"p50": 1}, 80)]
    bars = [line.split() for line in drawn if "max_seq_length" not in line]
    assert sum("max_seq_length" in line for line in drawn) == 1
    counted = sum(
        next(int(part.replace(",", "")) for part in reversed(bar) if part.replace(",", "").isdigit()) for bar in bars
    )
    assert counted == len(tokens)
    assert all(len(line) <= 80 for line in drawn)
