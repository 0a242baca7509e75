"""Marking runs in their list, and the screen that compares them."""

from __future__ import annotations

import os
from threading import current_thread
from typing import Any

import msgspec
import pytest
from support.config_file import read_config, write_config
from support.fake_runs import append_events
from support.pilot import screen_text, settled, until
from support.screens import NOW
from textual.pilot import Pilot

from codex_tui.ui.app import CodexApp
from codex_tui.ui.compare.screen import ComparisonScreen
from codex_tui.ui.kit.hints import HintBar
from training.contract import events as ev
from training.contract.run_directory import RunDirectory

FOUND = {"sha256": "1a" * 32, "rows": 220, "train_rows": 209, "eval_rows": 11, "truncated_rows": 0, "dropped_rows": 0}


def make_runs(make_run: Any, count: int, **changes: Any) -> list[RunDirectory]:
    """Runs with different ranks, the first of them the newest. `changes` are those of the last run's fingerprint."""
    runs = []
    for number in range(count):
        run = make_run(name=f"run-{number}", end="done", steps=200 - 40 * number if number < 4 else 40)
        config = read_config(run)
        config["profile"]["lora"]["r"] = 8 * 2**number
        config["dataset_fingerprint"] = FOUND | (changes if number == count - 1 else {})
        write_config(run, config)
        os.utime(run.profile, (NOW - number * 7200, NOW - number * 7200))
        runs.append(run)
    return runs


async def open_list(pilot: Pilot[Any], count: int) -> HintBar:
    await settled(pilot)
    await pilot.press("o")
    await until(pilot, lambda: f"{count} runs · newest first" in screen_text(pilot.app))
    return pilot.app.screen.query_one(HintBar)


async def open_comparison(pilot: Pilot[Any], count: int) -> ComparisonScreen:
    await open_list(pilot, count)
    await pilot.press(*["space"] * min(count, 8), "v")
    await until(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen))
    await until(pilot, lambda: "lora.r" in screen_text(pilot.app) and "reading" not in screen_text(pilot.app))
    return pilot.app.screen


def rows_of(text: str) -> list[list[str]]:
    return [row.strip("│ ┃▌").split() for row in text.split("\n")]


def words_of(text: str) -> str:
    """The text without the frames, so that a sentence may be wrapped."""
    return " ".join(word for row in rows_of(text) for word in row)


async def test_runs_are_marked_with_letters(make_run: Any) -> None:
    make_runs(make_run, 3)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        hints = await open_list(pilot, 3)
        await pilot.press("v")
        await until(pilot, lambda: "Mark two or more runs" in str([note.message for note in pilot.app._notifications]))
        await pilot.press("end", "space")
        assert "v" not in hints.keys
        await pilot.press("home", "space")
        await until(pilot, lambda: "2 marked" in screen_text(pilot.app))
        assert "v" in hints.keys
        rows = rows_of(screen_text(pilot.app))
        assert [row[:2] for row in rows if {"run-0", "run-2"} & {*row}] == [["B", "run-0"], ["A", "run-2"]]
        await pilot.press("end", "space")  # takes the first mark away, so that the other one becomes A
        await until(pilot, lambda: "1 marked" in screen_text(pilot.app))
        assert ["A", "run-0"] in [row[:2] for row in rows_of(screen_text(pilot.app))]
        await pilot.press("escape")
        await until(pilot, lambda: "marked" not in screen_text(pilot.app))
        assert "3 runs" in screen_text(pilot.app)  # the list stays open


async def test_a_filter_hides_marked_runs_and_keeps_their_marks(make_run: Any) -> None:
    make_runs(make_run, 3)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await open_list(pilot, 3)
        await pilot.press("space", "slash", *"run-2", "enter", "space", "v")
        await until(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen))
        await until(pilot, lambda: "A run-0" in screen_text(pilot.app))
        assert "B run-2" in screen_text(pilot.app)


async def test_a_deleted_run_loses_its_mark_and_a_renamed_one_keeps_it(make_run: Any) -> None:
    make_runs(make_run, 3)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await open_list(pilot, 3)
        await pilot.press(*["space"] * 3)
        await until(pilot, lambda: "3 marked" in screen_text(pilot.app))
        await pilot.press("d")
        await until(pilot, lambda: "can't be undone" in screen_text(pilot.app))
        await pilot.press("y")
        await until(pilot, lambda: "2 marked" in screen_text(pilot.app))
        await pilot.press("home", "R")
        await until(pilot, lambda: "Its new name" in screen_text(pilot.app))
        await pilot.press("end", *"-new", "enter")
        await until(pilot, lambda: "run-0-new" in screen_text(pilot.app) and not pilot.app.screen.is_modal)
        await until(pilot, lambda: ["A", "run-0-new"] in [row[:2] for row in rows_of(screen_text(pilot.app))])
        assert "2 marked" in screen_text(pilot.app)


async def test_no_more_runs_than_the_chart_can_tell_apart(make_run: Any) -> None:
    make_runs(make_run, 9)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await open_list(pilot, 9)
        await pilot.press(*["space"] * 9)
        await until(pilot, lambda: "At most 8 runs" in str([note.message for note in pilot.app._notifications]))
        assert "8 marked" in screen_text(pilot.app)


async def test_the_table_shows_what_differs_and_the_best_values(make_run: Any) -> None:
    make_runs(make_run, 2)
    async with CodexApp().run_test(size=(120, 36)) as pilot:
        await open_comparison(pilot, 2)
        text = screen_text(pilot.app)
        rows = rows_of(text)
        assert any(row[:3] == ["lora.r", "8", "16"] for row in rows)
        assert any(row[-3:] == ["loss", "0.4658★", "0.5219"] for row in rows)
        assert "model.name" not in text and "not comparable" not in text
        assert "A run-0" in text and "B run-1" in text
        await pilot.press("escape")
        await until(pilot, lambda: "2 marked" in screen_text(pilot.app))  # to add another run


async def test_the_keys_change_the_chart_and_the_layout(make_run: Any) -> None:
    make_runs(make_run, 2)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        screen = await open_comparison(pilot, 2)
        hints = screen.query_one(HintBar)
        for key, title in (("y", "Eval loss over steps"), ("x", "Eval loss over time"), ("x", "Eval loss over tokens")):
            assert key in hints.keys
            await pilot.press(key)
            await until(pilot, lambda title=title: title in screen_text(pilot.app))
        await pilot.press("y")
        await until(pilot, lambda: "Pass rate over tokens" in screen_text(pilot.app))
        assert "No run has a pass rate yet." in screen_text(pilot.app)
        await pilot.press("y", "g")
        await until(pilot, lambda: "logarithmic" in screen_text(pilot.app))
        await pilot.press("z")
        await until(pilot, lambda: "lora.r" not in screen_text(pilot.app))
        await pilot.press("z")
        await until(pilot, lambda: "over tokens" not in screen_text(pilot.app))
        assert "trained parameters" in screen_text(pilot.app) or "tokens/s" in screen_text(pilot.app)
        await pilot.press("z")
        await until(pilot, lambda: "over tokens" in screen_text(pilot.app) and "lora.r" in screen_text(pilot.app))


async def test_a_long_table_scrolls_in_both_directions(make_run: Any) -> None:
    make_runs(make_run, 8)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        screen = await open_comparison(pilot, 8)
        assert "1 to 5 of 8" in screen_text(pilot.app)
        assert "← →" in screen.query_one(HintBar).keys
        await pilot.press("right", "right", "right", "right")
        await until(pilot, lambda: "4 to 8 of 8" in screen_text(pilot.app))
        assert any(row[-1] == "1024" for row in rows_of(screen_text(pilot.app)) if row[:1] == ["lora.r"])
        await pilot.press("end")
        await until(pilot, lambda: "peak GPU memory" in screen_text(pilot.app))
        assert "lora.r" not in screen_text(pilot.app)


async def test_runs_on_other_data_are_not_comparable(make_run: Any) -> None:
    make_runs(make_run, 2, sha256="2b" * 32)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await open_comparison(pilot, 2)
        assert "! not comparable: the data differ" in screen_text(pilot.app)
        await pilot.press("end")
        await until(pilot, lambda: "A loss on other rows measures another task." in words_of(screen_text(pilot.app)))
        assert "★" not in "".join(row for row in screen_text(pilot.app).split("\n") if "eval loss" in row)


async def test_a_live_run_goes_on(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_tui.ui.compare.screen.REFRESH_TICKS", 0.05)
    threads: list[str] = []
    monkeypatch.setattr(
        "codex_tui.runs.comparison.read_book_results", lambda run: threads.append(current_thread().name) or ()
    )
    make_runs(make_run, 1)
    run = make_run(name="live", end="training", steps=80)
    write_config(run, read_config(run) | {"dataset_fingerprint": FOUND})
    async with CodexApp().run_test(size=(120, 60)) as pilot:
        await open_list(pilot, 2)
        await pilot.press("space", "space", "v")
        await until(pilot, lambda: "training" in screen_text(pilot.app) and "lora.r" in screen_text(pilot.app))
        with run.events.open("ab") as file:
            for event in (
                ev.Metrics(step=90, loss=0.25, tokens=9, seq=1001),
                ev.Eval(step=90, eval_loss=0.125, seq=1002),
            ):
                event.time = NOW
                file.write(msgspec.json.encode(event) + b"\n")
        await until(pilot, lambda: any("0.1250★" in row for row in rows_of(screen_text(pilot.app))))
        run.adapter.mkdir()
        (run.adapter / "adapter_config.json").write_text("{}")
        append_events(run, ev.Done(step=200))
        await until(pilot, lambda: "adapter 2 B 2 B" in words_of(screen_text(pilot.app)))
    assert len(threads) > 2
    assert current_thread().name not in threads  # no file is read where the keys are handled


async def test_a_damaged_run_is_named_and_the_others_are_shown(make_run: Any) -> None:
    runs = make_runs(make_run, 3)
    runs[1].config.write_text("{")
    runs[1].events.write_text("\x00\n")
    async with CodexApp().run_test(size=(120, 36)) as pilot:
        await open_comparison(pilot, 3)
        text = screen_text(pilot.app)
        assert any(row[:4] == ["lora.r", "8", "–", "32"] for row in rows_of(text))
        await pilot.press("end")
        await until(pilot, lambda: "B: config.json is damaged." in screen_text(pilot.app))


async def test_settings_of_an_ended_run_are_not_read_at_each_key(
    make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run in make_runs(make_run, 2):
        config = read_config(run)
        del config["dataset_fingerprint"]  # as the runs of older versions
        write_config(run, config)
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await open_comparison(pilot, 2)
        monkeypatch.setattr("codex_tui.ui.compare.screen.read_files", lambda run: pytest.fail(f"{run} is read again"))
        await pilot.press("y")
        await until(pilot, lambda: "Eval loss over steps" in screen_text(pilot.app))


async def test_the_palette_compares(make_run: Any) -> None:
    make_runs(make_run, 2)
    async with CodexApp().run_test(size=(120, 36)) as pilot:
        await open_list(pilot, 2)
        titles = {command.title for command in pilot.app.get_system_commands(pilot.app.screen)}
        assert {"Mark the run for a comparison", "Compare the marked runs"} <= titles
        await pilot.press("space", "space", "v")
        await until(pilot, lambda: isinstance(pilot.app.screen, ComparisonScreen))
        commands = [*pilot.app.get_system_commands(pilot.app.screen)]
        assert {"Curves over steps, time or tokens", "Scale of the chart"} <= {command.title for command in commands}
        assert all(command.help.partition("Key:")[0] for command in commands)
