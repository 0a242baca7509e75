"""The launch dialog: what it finds out before a run starts."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from support import fake_forecast
from support.fake_engine import use_fake_engine
from support.fake_inspect import WordWorker
from support.launching import MODEL, SIZE, enter_folder, launching, see, write_profile
from support.pilot import screen_text, until

from codex_tui.base import locations
from codex_tui.base.errors import EnvironmentMissing, EnvironmentNotBuilt
from codex_tui.data import speed
from codex_tui.environment import build
from codex_tui.hub.model import MissingModel
from codex_tui.launch_plan import LaunchPlan
from codex_tui.machine import forecast
from codex_tui.machine.forecast import forecast_resources
from codex_tui.ui.lengths.screen import LengthsScreen
from training.contract.run_directory import RunDirectory
from training.memory.pass_size import LargerPasses


@pytest.fixture
def folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return enter_folder(home, monkeypatch)


@pytest.fixture
def mine(folder: Path) -> Path:
    return write_profile(folder)


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (200, 60)])
async def test_the_cut_is_told_and_one_key_avoids_it(
    mine: Path, worker: type[WordWorker], plans: list[LaunchPlan], size: tuple[int, int]
) -> None:
    async with launching(size) as pilot:
        await see(pilot, "148 of 300 rows are cut at 128 tokens; 192 cuts none.", "ctrl+l use 192", "Enter launch")
        await pilot.press("ctrl+l")
        await see(pilot, "none is cut at 192 tokens for this run", "ctrl+l use 128")
        assert pilot.app.screen.checks.forecast.profile.model.max_seq_length == 192
        await pilot.press("ctrl+l", "ctrl+l")
        await see(pilot, "none is cut at 192 tokens for this run")
        await pilot.press("enter")
        await until(pilot, lambda: plans)
    [plan] = plans
    assert dict(plan.overrides) == {"model.max_seq_length": 192}
    assert plan.profile.model.max_seq_length == 192
    assert "max_seq_length = 128" in mine.read_text()  # the profile keeps its own
    assert all(each.closed for each in worker.started)


async def test_a_length_of_the_comparison_is_used_for_this_run(
    mine: Path, worker: type[WordWorker], plans: list[LaunchPlan]
) -> None:
    async with launching() as pilot:
        await see(pilot, "148 of 300 rows are cut at 128 tokens; 192 cuts none.", "ctrl+g lengths")
        await pilot.press("ctrl+g")
        screen = pilot.app.screen
        assert isinstance(screen, LengthsScreen)
        await until(pilot, lambda: screen.choice)
        await pilot.press("d")
        await until(pilot, lambda: screen.choice.long_rows == "drop")
        await pilot.press("enter")
        await see(
            pilot, "148 of 300 rows are longer than 128 tokens and dropped for this run", "ctrl+l as in the profile"
        )
        await pilot.press("ctrl+g")  # goes on with these values
        await until(pilot, lambda: pilot.app.screen.choice.long_rows == "drop")
        await pilot.press("right", "escape", "ctrl+g")
        await until(pilot, lambda: pilot.app.screen.choice)
        longest = pilot.app.screen.choice.lengths[-1]
        await pilot.press("right", "enter")
        await see(pilot, f"none is cut at {longest} tokens for this run", "ctrl+l use 128")
        assert pilot.app.screen.checks.forecast.profile.model.max_seq_length == longest
        await pilot.press("enter")
        await until(pilot, lambda: plans)
    assert dict(plans[0].overrides) == {"model.max_seq_length": longest, "dataset.long_rows": "drop"}
    assert plans[0].profile.dataset.long_rows == "drop"
    assert "max_seq_length = 128" in mine.read_text()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("drop", "148 of 300 rows are longer than 128 tokens and dropped; 192 cuts none."),
        ("refuse", "148 of 300 rows are longer than 128 tokens, so it can't start; 192 cuts none."),
    ],
)
async def test_what_happens_to_long_rows_is_told(mine: Path, worker: type[WordWorker], setting: str, says: str) -> None:
    mine.write_text(mine.read_text() + f'long_rows = "{setting}"\n')
    async with launching() as pilot:
        await see(pilot, says)
        await pilot.press("ctrl+l")
        await see(pilot, "none is cut at 192 tokens for this run")


async def test_the_time_is_estimated_until_a_run_has_measured_the_speed(
    mine: Path, worker: type[WordWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with launching((80, 24)) as pilot:
        await see(pilot, "Time", " for 72 steps, estimated for this card")
    monkeypatch.setattr(speed, "find_last_speed_on", lambda card, profile, path: 250.0)
    async with launching() as pilot:
        await see(pilot, "for 72 steps, at the last run's 250 tokens/s")


async def test_the_larger_passes_of_a_fast_card_are_told(
    mine: Path, worker: type[WordWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_forecast, "LARGER_PASSES", LargerPasses(4, 1, 800.0, (0.48, 0.75)))
    async with launching((80, 24)) as pilot:
        await see(pilot, "Passes 4 rows instead of 1: 48 to 75 % less time, 0.78 GB more")


async def test_a_deadline_says_what_fits_and_is_given_to_the_run(
    mine: Path, worker: type[WordWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[LaunchPlan] = []

    def keep(plan: LaunchPlan, python: Path | None = None, **_: object) -> None:
        plans.append(plan)
        raise EnvironmentMissing("Enough is known.", "")

    monkeypatch.setattr(speed, "find_last_speed_on", lambda card, profile, path: 50.0)
    monkeypatch.setattr("codex_tui.launcher.launch", keep)
    monkeypatch.setattr(build, "ensure", lambda report: Path("python"))
    async with launching((80, 24)) as pilot:
        await see(pilot, "for 72 steps, at the last run's 50 tokens/s")
        await pilot.press("tab", "tab", *"soon")
        await see(pilot, "✗ soon is not a time.")
        await pilot.press("enter")
        await see(pilot, "soon is not a time.", "Give a time such as 07:00")
        assert plans == []
        await pilot.press(*["backspace"] * 4, *"+4m")
        before = time.time()
        await pilot.press("enter")
        await see(pilot, "Enough is known.")
        [plan] = plans
        assert plan.until is not None and before + 240 <= plan.until <= time.time() + 240
    async with launching() as pilot:
        await see(pilot, "for 72 steps, at the last run's 50 tokens/s")
        await pilot.press("tab", "tab", *"+8m")
        await see(pilot, "Limit About ", " of 72 steps (", " % of the rows) fit until ")
        await pilot.press(*["backspace"] * 3, *"+1m")
        await see(pilot, "! No step fits until ")


async def test_the_book_is_checked_and_its_time_is_forecast(
    mine: Path, folder: Path, worker: type[WordWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    book = mine.parent / "book.jsonl"
    mine.write_text(mine.read_text() + '[evaluation]\neval_steps = 30\nbook = "book.jsonl"\n')
    async with launching() as pilot:
        await see(pilot, "✗ evaluation.book: ", "book.jsonl can't be read: No such file or directory.")
    marked, unmarked = '{"question": "Hi?", "must": "Hello"}\n', '{"question": "Why?", "reference": "Because."}\n'
    book.write_text(marked * 4 + unmarked)
    monkeypatch.setattr(speed, "find_last_speed_on", lambda card, profile, path: 250.0)
    async with launching() as pilot:
        await see(pilot, "Book 4 questions, asked 3 times: about ", " more")


async def test_the_dialog_says_where_the_run_is_trained_and_asks_nothing_of_this_machine(
    mine: Path, worker: Any, plans: list[LaunchPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_fake_engine(monkeypatch)
    monkeypatch.setattr(forecast, "forecast_resources", forecast_resources)
    monkeypatch.setattr("codex_tui.runs.queue._describe_busy", lambda queue: "a-1 has the card.")
    monkeypatch.setattr(
        "codex_tui.hub.model.find_missing_model", lambda profile, path: pytest.fail("looked for it here")
    )
    monkeypatch.setattr(build, "ensure", lambda progress: pytest.fail("builds an environment here"))
    slurm = '[launch]\nengine = "slurm"\n[launch.slurm]\npartition = "gpu"\n'
    ssh = '[launch]\nengine = "ssh"\n[launch.ssh]\nremote = "box"\n'
    text = mine.read_text().replace(MODEL, f"{MODEL}-bnb-4bit")  # its shape is shipped
    mine.write_text(text + ssh)
    async with launching((80, 24)) as pilot:
        await see(pilot, "Where box", "Memory", "the cards of box are not known here", "Enter launch")
        assert "a-1 has the card" not in screen_text(pilot.app) and "No GPU can be used" not in screen_text(pilot.app)
        await pilot.press("enter")
        await until(pilot, lambda: plans)
    assert plans[0].profile.launch.place == "box" and plans[0].warnings == []
    mine.write_text(text + slurm)
    monkeypatch.setattr("codex_tui.hub.model.find_missing_model", lambda profile, path: None)
    async with launching((120, 36)) as pilot:
        await see(pilot, "Where Slurm, partition gpu", "the cards of Slurm are not known here")


async def test_the_dialog_names_the_run_as_the_launch_will(mine: Path, worker: Any) -> None:
    stem = mine.stem
    for number in (1, 2, 4):
        RunDirectory(locations.runs_home() / f"{stem}-{number}").create()
    async with launching() as pilot:
        await see(pilot, f"{stem}-3 (automatic)")


async def test_the_other_advice_is_told_too(mine: Path, folder: Path, worker: type[WordWorker]) -> None:
    (folder / "guide.jsonl").write_text('{"instruction": "Who?", "response": "Rook."}\n' * 60)
    async with launching() as pilot:
        await see(pilot, "evaluation rows also occur in training", "Every answer is the same")
        await see(pilot, "What to do about the rows: Esc, then d, then 4.")
    async with launching((80, 24)) as pilot:
        await see(pilot, "none is cut", "evaluation rows also occur", "Enter launch", "Esc cancel")


async def test_a_missing_environment_is_no_obstacle(
    mine: Path, monkeypatch: pytest.MonkeyPatch, plans: list[LaunchPlan]
) -> None:
    def find(*_: object) -> Path:
        raise EnvironmentMissing("There is no training environment.", "Run: codex-tui setup")

    monkeypatch.setattr(build, "find_python", find)
    async with launching() as pilot:
        await see(pilot, "not counted: There is no training environment. Run: codex-tui setup")
        await pilot.press("enter")
        await until(pilot, lambda: plans)


async def test_the_first_start_says_that_it_builds_the_environment(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def find(*_: object) -> Path:
        raise EnvironmentNotBuilt(9)

    monkeypatch.setattr(build, "find_python", find)
    async with launching((80, 24)) as pilot:
        await see(pilot, "counted when the training environment is built.", "9 GB on the disk, some minutes.")


async def test_a_missing_gpu_is_told(mine: Path, worker: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "forecast_resources", forecast_resources)
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    async with launching((80, 24)) as pilot:
        await see(pilot, "No GPU can be used (CUDA_VISIBLE_DEVICES hides every GPU): mine would train on the CPU")
    mine.write_text(mine.read_text() + '[hardware]\ndevice = "cpu"\n')  # it is asked for
    async with launching() as pilot:
        await see(pilot, "It runs on the CPU", "148 of 300 rows")
        assert "No GPU can be used" not in screen_text(pilot.app)


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        (MissingModel(MODEL, size=2_300_000_000), "is not on this machine: the run downloads 2.3 GB first."),
        (
            MissingModel(MODEL, problem="The Hub can't be reached at huggingface.co.", hint="Check the network."),
            "is not on this machine. The Hub can't be reached at huggingface.co. Check the network.",
        ),
    ],
)
async def test_a_missing_model_is_told_and_the_run_can_start(
    mine: Path,
    worker: Any,
    monkeypatch: pytest.MonkeyPatch,
    plans: list[LaunchPlan],
    missing: MissingModel,
    says: str,
) -> None:
    monkeypatch.setattr("codex_tui.hub.model.find_missing_model", lambda profile, path: missing)
    for size in ((80, 24), SIZE):
        async with launching(size) as pilot:
            await see(pilot, says, "Enter launch")
            await pilot.press("enter")
            await until(pilot, lambda: plans)
        plans.clear()


async def test_a_slow_hub_blocks_neither_the_screen_nor_the_launch(
    mine: Path, worker: Any, monkeypatch: pytest.MonkeyPatch, plans: list[LaunchPlan]
) -> None:
    answer = Event()

    def ask(profile: object, path: Path) -> None:
        answer.wait()

    monkeypatch.setattr("codex_tui.hub.model.find_missing_model", ask)
    try:
        async with launching() as pilot:
            await see(pilot, "Model looking for it on this machine …", "148 of 300 rows")
            await pilot.press("tab", *"night", "enter")
            await until(pilot, lambda: plans)
            answer.set()
    finally:  # the app waits for its threads, so a failed test would never end
        answer.set()
    assert plans[0].name == "night"
