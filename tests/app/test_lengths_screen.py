"""The lengths screen: what each max_seq_length keeps and costs, and how a person picks one."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from support import data_screen
from support.data_screen import app_on, counted, screen_of, see
from support.pilot import screen_text, until
from textual.pilot import Pilot

from codex_tui.base import locations
from codex_tui.data.target import Target
from codex_tui.machine import forecast
from codex_tui.profiles.library import require_profile
from codex_tui.ui.app import CodexApp
from codex_tui.ui.data.screen import DataScreen
from codex_tui.ui.editor.screen import EditorScreen
from codex_tui.ui.lengths.screen import LengthsScreen
from training.contract.messages import InspectReady

SIZE = (120, 36)
LENGTHS = [40, 128, 192, 256, 384, 512, 620]  # from which a person chooses: the last one is the longest row
SIZES = pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)], ids=lambda size: f"{size[0]}x{size[1]}")


@pytest.fixture
def dataset(home: Path) -> Path:
    """41 rows of 20 to 620 words. One has a question of 300 words."""
    sizes = [*[12] * 20, *[140] * 10, *[250] * 6, *[380] * 4]
    rows = [
        {"instruction": f"Ask {number}?", "response": " ".join(["word"] * size)} for number, size in enumerate(sizes)
    ]
    rows.append({"instruction": " ".join(["ask"] * 300), "response": " ".join(["word"] * 318)})
    path = home / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def lengths_of(pilot: Pilot[Any]) -> LengthsScreen:
    assert isinstance(pilot.app.screen, LengthsScreen)
    return pilot.app.screen


async def opened(pilot: Pilot[Any], long_rows: str = "cut") -> LengthsScreen:
    """Open the lengths of the data screen, and wait until all figures are known."""
    await counted(pilot)
    await pilot.press("m")
    return await compared(pilot, long_rows)


async def compared(pilot: Pilot[Any], long_rows: str = "cut") -> LengthsScreen:
    """Wait until all figures are known."""

    def ready() -> bool:
        screen = pilot.app.screen
        choice = screen.choice if isinstance(screen, LengthsScreen) else None
        return bool(
            choice and choice.long_rows == long_rows and (choice.no_memory or choice.options[0].memory is not None)
        )

    await until(pilot, ready)
    return lengths_of(pilot)


def picked(pilot: Pilot[Any]) -> int:
    option = lengths_of(pilot).option
    assert option
    return option.max_seq_length


def notices(pilot: Pilot[Any]) -> list[str]:
    return [notification.message for notification in pilot.app._notifications]


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
            figures = f"{' '.join(map(str, cells))} {overview.learned_tokens:,} {memory.device_mib:,.0f} ✓ –"
            assert any(figures in row for row in table), figures
        assert "The run may use 3,796 MiB of this card." in text
        assert "The time of an epoch is not known before a run with this model here." in text


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


async def test_enter_saves_the_length_in_ones_own_profile(dataset: Path, profile: Path, worker: Any) -> None:
    profile.write_text("# mine\n" + profile.read_text())
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("right", "right", "d", "enter")
        await until(pilot, lambda: notices(pilot) == ['Saved mine.toml: max_seq_length = 192, long_rows = "drop"'])
        await until(pilot, lambda: isinstance(pilot.app.screen, DataScreen) and screen_of(pilot).view.own_limit == 192)
        assert profile.read_text().startswith("# mine\n")
        values = tomllib.loads(profile.read_text())
        assert values["model"] == {"name": "demo:llama", "max_seq_length": 192}
        assert values["dataset"] == {"eval_fraction": 0.1, "long_rows": "drop"}
        await opened(pilot, "drop")  # the new values are the profile's own
        assert picked(pilot) == 192
        await pilot.press("enter")
        await until(pilot, lambda: "mine has these values already." in notices(pilot))


async def test_a_shipped_profile_gets_a_copy_with_the_length(dataset: Path, home: Path, worker: Any) -> None:
    shipped = locations.shipped_profiles() / "small.toml"
    shipped.write_text(data_screen.PROFILE)
    async with app_on(dataset, shipped).run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("right", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, EditorScreen))
        draft = pilot.app.screen.draft
        assert (draft.is_new, draft.dirty, draft.own["extends"], draft.own["model.max_seq_length"]) == (
            True, True, "small", 128,
        )  # fmt: skip
        assert read_length(shipped) == 40


async def test_a_profile_that_cannot_be_written_is_not_lost(
    dataset: Path, profile: Path, worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await opened(pilot)
        before = profile.read_text()
        monkeypatch.setattr("training.contract.files.write_atomically", fail)
        await pilot.press("right", "enter")
        await see(pilot, "mine.toml can't be written: No space left on device.")
        assert profile.read_text() == before


async def test_another_length_is_added(dataset: Path, profile: Path, worker: Any) -> None:
    async with app_on(dataset, profile).run_test(size=SIZE) as pilot:
        await opened(pilot)
        await pilot.press("equals_sign", *"8")
        await see(pilot, "✗ should be a whole number, at least 16")
        await pilot.press("backspace", *"300", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, LengthsScreen) and picked(pilot) == 300)
        screen = await compared(pilot)
        assert screen.choice.lengths == sorted([*LENGTHS, 300])


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


async def test_a_run_keeps_its_length(dataset: Path, make_run: Any, worker: Any) -> None:
    run = make_run()
    config = json.loads(run.config.read_text())
    config |= {"dataset": str(dataset), "files": [str(dataset)]}
    run.config.write_text(json.dumps(config))
    async with CodexApp(data=Target.from_run(run)).run_test(size=SIZE) as pilot:
        await opened(pilot)
        assert "Enter" not in screen_text(pilot.app).splitlines()[-1]
        await pilot.press("left", "enter")
        assert isinstance(pilot.app.screen, LengthsScreen)


@SIZES
def test_pictures(
    snap_compare: Any, dataset: Path, profile: Path, worker: Any, size: tuple[int, int], home: Path
) -> None:
    async def act(pilot: Pilot[Any]) -> None:
        await opened(pilot)
        await pilot.press("right", "right")

    assert snap_compare(app_on(dataset, profile), terminal_size=size, run_before=act)
