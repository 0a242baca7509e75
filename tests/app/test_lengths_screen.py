"""The lengths screen: what each max_seq_length keeps and costs, and how a person picks one."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest
from support.data_screen import app_on, counted, screen_of, see
from support.lengths_screen import LENGTHS, compared, opened, picked, write_rows
from support.pilot import screen_text, until
from textual.pilot import Pilot

from codex_tui.base.text import format_duration_range
from codex_tui.machine import forecast
from codex_tui.machine.forecast import LengthForecasts, forecast_lengths
from codex_tui.profiles.library import require_profile
from codex_tui.ui.data.screen import DataScreen
from codex_tui.ui.lengths.screen import LengthsScreen
from training.contract.inspect_messages import InspectReady

SIZE = (120, 36)
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)], ids=lambda size: f"{size[0]}x{size[1]}")


@pytest.fixture
def dataset(home: Path) -> Path:
    return write_rows(home / "rows.jsonl")


def read_length(path: Path) -> Any:
    return require_profile(path).model.max_seq_length


async def test_the_keys_move_the_length(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        assert screen.choice
        assert screen.choice.lengths == LENGTHS
        assert picked(pilot) == 40  # the profile's own
        for key, length in (("right", 128), ("down", 192), ("right_square_bracket", 256), ("left", 192), ("up", 128),
                            ("left_square_bracket", 40), ("left", 40), ("end", 620), ("right", 620), ("home", 40),
                            ("f", 620), ("backspace", 40)):  # fmt: skip
            await pilot.press(key)
            assert picked(pilot) == length, key
        await pilot.press("right", "right", "right")
        text = await see(pilot, "256 tokens, longer rows are cut: 36 of 41 rows whole · 1 answer lost",
                         "87.8 % of the rows are whole  256")  # fmt: skip
        assert [row.split()[:3] for row in rows_of(text) if "▌" in row] == [["▌", "256", "36"]]
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, DataScreen)
        assert screen_of(pilot).view.limit == 40  # nothing has changed
        assert read_length(profile) == 40


async def test_each_length_has_its_rows_answers_tokens_and_memory(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        assert screen.choice
        text = screen_text(pilot.app)
        table = [" ".join(row.split()) for row in rows_of(text)]
        for option in screen.choice.options:
            overview, memory = option.overview, option.memory
            assert memory
            cells = (option.max_seq_length, option.whole_rows, overview.answers_cut, overview.answers_lost)
            assert option.epoch_seconds and option.epoch_seconds[0] < option.epoch_seconds[1]
            time = format_duration_range(*option.epoch_seconds)
            figures = f"{' '.join(map(str, cells))} {overview.learned_tokens:,} {memory.device_mib:,.0f} ✓ {time}"
            assert any(figures in row for row in table), figures
        assert "The run may use 3,796 MiB of this card." in text
        assert "Times are estimates for this card. The first run here measures them." in text


def rows_of(text: str) -> list[str]:
    """The text between the borders of the left pane."""
    return [row.split("│")[1] for row in text.splitlines() if row.startswith("│")]


async def test_d_switches_between_cut_and_drop(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("d")
        screen = await compared(pilot, "drop")
        assert [option.overview.answers_cut for option in screen.choice.options] == [0] * len(LENGTHS)
        await see(pilot, "40 tokens, longer rows are dropped: 20 of 41 rows whole · 21 answers lost", 'profile: "cut"')
        await pilot.press("d")
        await compared(pilot, "cut")
        await see(pilot, "longer rows are cut")


async def test_another_length_is_added(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("equals_sign", *"8")
        await see(pilot, "✗ should be a whole number, at least 16")
        await pilot.press("backspace", *"300", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, LengthsScreen) and picked(pilot) == 300)
        screen = await compared(pilot)
        assert screen.choice.lengths == sorted([*LENGTHS, 300])


async def test_long_rows_can_be_switched_while_another_length_is_forecast(
    dataset: Path, profile: Path, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, release = Event(), Event()

    def forecast_slowly(*arguments: Any, **options: Any) -> LengthForecasts:
        if not first.is_set():
            first.set()
            release.wait(60)
        return forecast_lengths(*arguments, **options)

    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await opened(pilot)
        monkeypatch.setattr(forecast, "forecast_lengths", forecast_slowly)
        await pilot.press("equals_sign", *"300", "enter")
        await until(pilot, first.is_set)
        await pilot.press("d")
        screen = await compared(pilot, "drop")
        release.set()
        assert screen.choice
        assert screen.choice.lengths == sorted([*LENGTHS, 300])
        assert all(option.memory for option in screen.choice.options)


async def test_the_length_that_is_tried_on_the_data_screen_is_picked(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await counted(pilot)
        await pilot.press("right_square_bracket")  # 64
        await opened(pilot)
        assert picked(pilot) == 64


async def test_a_run_starts_only_with_a_length_that_refuses_no_row(dataset: Path, profile: Path, worker: Any) -> None:
    profile.write_text(profile.read_text() + 'long_rows = "refuse"\n')
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await opened(pilot, "refuse")
        text = await see(pilot, "40 tokens, longer rows refuse the run: 20 of 41 rows whole · no start",
                         "A run starts only with a length that leaves every row whole.")  # fmt: skip
        row = next(row.split() for row in rows_of(text) if " 512 " in row)
        assert row[:5] == ["512", "40", "–", "–", "–"]
        await pilot.press("end")
        await see(pilot, "620 tokens, longer rows refuse the run: 41 of 41 rows whole ")
        for setting in ("cut", "drop", "refuse"):
            await pilot.press("d")
            await compared(pilot, setting)


async def test_without_a_card_the_memory_is_compared_with_that_of_the_title(
    dataset: Path, profile: Path, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": None)
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        await see(pilot, "No GPU is here to compare the memory with.")
        assert (screen.choice.longest_fitting, screen.choice.options[0].memory.verdict) == (None, None)
        await pilot.press("f")
        assert picked(pilot) == 40
    profile.write_text('title = "4 GB card"\n' + profile.read_text())
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        await see(pilot, "The run may use 3,796 MiB of a 4 GB card; no GPU is here.")
        assert screen.choice.longest_fitting == 620


async def test_memory_that_is_not_known_is_explained(dataset: Path, profile: Path, worker: Any) -> None:
    profile.write_text(profile.read_text() + '[hardware]\ndevice = "cpu"\n')
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await opened(pilot)
        await see(pilot, "GPU memory is not known: It runs on the CPU and takes nothing of a card.")


async def test_the_count_shows_its_progress_and_can_be_stopped(dataset: Path, profile: Path, worker: Any) -> None:
    worker.holds_back = True
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "tokenising" in screen_of(pilot).view.works)
        await pilot.press("m")
        await see(pilot, "Counting tokens", "25 %", "t stops")
        await pilot.press("t")
        await see(pilot, "The tokens have not been counted.", "Press t to count them.")
        await pilot.press("t")
        await see(pilot, "25 %")
        worker.started[-1].go_on()
        await compared(pilot)
        assert picked(pilot) == 40


async def test_a_missing_tokenizer_is_explained(
    dataset: Path, profile: Path, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(self: Any) -> None:
        self.say(
            InspectReady(rows=41, why="unsloth/x is not on this machine.", hint="Start a run, which downloads it.")
        )

    monkeypatch.setattr(worker, "begin", begin)
    monkeypatch.setattr(worker, "take", lambda self, request: None)
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await pilot.press("m")
        await see(pilot, "unsloth/x is not on this machine.", "Start a run, which downloads it.")
        assert screen_text(pilot.app).splitlines()[-1].split()[:2] == ["Esc", "back"]  # t can't start the count


async def test_a_dataset_without_a_profile_and_one_without_good_rows_have_no_lengths(
    dataset: Path, profile: Path, worker: Any
) -> None:
    async with app_on(dataset, None).run_test(size=SIZE) as pilot:
        await pilot.press("m")
        await see(pilot, "Each length is compared for a profile", "codex-tui data view FILE --profile P")
    dataset.write_text("broken\n")
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await until(pilot, lambda: screen_of(pilot).view.rows.states and screen_of(pilot).view.rows.states.lengths)
        await pilot.press("m")
        await see(pilot, "No row can be used, so there are no lengths.")
        await pilot.press("d", "f", "backspace", "equals_sign", "enter", "right")
        assert isinstance(pilot.app.screen, LengthsScreen)


@SIZES
def test_pictures(
    snap_compare: Any, dataset: Path, profile: Path, worker: Any, size: tuple[int, int], home: Path
) -> None:
    async def act(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        await pilot.press("right", "right")

    assert snap_compare(app_on(dataset, profile), terminal_size=size, run_before=act)
