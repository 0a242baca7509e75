"""Tests of the filters and the search of the data screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.data_screen import SIZE, app_on, counted, screen_of, see
from support.pilot import screen_text, until

from codex_tui.ui.kit.row_list import RowList


def pieces(text: str, length: int) -> list[str]:
    return [text[at : at + length] for at in range(len(text) - length)]


async def test_filters_and_their_signs(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=(200, 60)) as pilot:
        await counted(pilot)
        for sign in (" 5 =", " 7 >", " 9 !", "11 ✗", "13 ✗"):
            await until(
                pilot, lambda sign=sign: {f"{sign} ", f"{sign}e"} & {*pieces(screen_text(pilot.app), len(sign) + 1)}
            )
        screen = screen_of(pilot)
        for key, wanted in (("b", [10, 12]), ("c", [6, 8]), ("d", [2, 4])):
            await pilot.press(key)
            await until(pilot, lambda wanted=wanted: list(screen.view.rows.listed) == wanted)
            await until(pilot, lambda: screen.query_one(RowList).count == 2)
            assert screen.view.rows.current in wanted  # the current row is in the list
        await pilot.press("l")
        await until(pilot, lambda: list(screen.view.rows.listed)[:2] == [6, 8])
        assert len(screen.view.rows.listed) == 38
        await pilot.press("b")
        await see(pilot, "line 11  not valid JSON: Expecting ','", 'line 13  "response" is missing', "1 of 2")
        await pilot.press("a", "f")
        await until(pilot, lambda: screen.view.rows.kind == "bad")


async def test_rows_that_are_dropped_for_their_length_have_the_sign_of_lost_answers(
    dataset: Path, profile: Path, worker: Any
) -> None:
    profile.write_text(profile.read_text() + 'long_rows = "drop"\n')
    async with app_on(dataset, profile).run_test(size=(200, 60)) as pilot:
        await counted(pilot)
        for sign in (" 7 !", " 9 !"):
            await until(
                pilot, lambda sign=sign: {f"{sign} ", f"{sign}e"} & {*pieces(screen_text(pilot.app), len(sign) + 1)}
            )


async def test_search_finds_while_typing_and_escape_ends_it(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await counted(pilot)
        view = screen_of(pilot).view
        await pilot.press("slash", *"COMES 1")
        await until(pilot, lambda: list(view.rows.listed) == [1, *range(11, 20)] or len(view.rows.listed) == 9)
        await see(pilot, "with “COMES 1”")
        await pilot.press("3", "enter", "down")
        await until(pilot, lambda: list(view.rows.listed) == [13])
        await see(pilot, "Row 14 of 40")
        await pilot.press("escape")
        await until(pilot, lambda: len(view.rows.listed) == 40)
        assert view.rows.current == 13  # the current row stays
        await pilot.press("slash", *"nowhere")
        await see(pilot, "No row contains “nowhere”.")


async def test_search_within_a_filter(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await counted(pilot)
        view = screen_of(pilot).view
        await pilot.press("l", "slash", *"word5", "enter")
        await until(pilot, lambda: list(view.rows.listed) == [6] and not view.works)
        await pilot.press("a")
        await until(pilot, lambda: list(view.rows.listed) == [6] and view.rows.kind == "all")
        await pilot.press("l", "slash", *"hold", "enter")
        longest = [row for row in view.rows.states.select("longest", view.limit) if row != 6]
        await until(pilot, lambda: list(view.rows.listed) == longest and not view.works)  # in the filter's order
        assert longest != sorted(longest)
