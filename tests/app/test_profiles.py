"""The profile picker: it describes each profile, shows its problems, and starts training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.fake_interpreter import idle_interpreter
from support.launch_work import ONCE_EACH, count_launch_work, write_profile
from support.pilot import screen_text, settled, until
from textual.widgets import Input

from codex_tui import launcher
from codex_tui.base import locations
from codex_tui.base.progress import Progress
from codex_tui.engines import local
from codex_tui.environment import build
from codex_tui.launch_plan import LaunchPlan
from codex_tui.machine import forecast
from codex_tui.machine.forecast import forecast_resources, read_card
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.kit.choices import Choices
from codex_tui.ui.kit.dialogs import Notice
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.launch.dialog import LaunchDialog
from codex_tui.ui.profiles.screen import ProfilesScreen
from training.contract.run_directory import RunDirectory

SIZE = (120, 36)
REPOSITORY = Path(__file__).parents[2]


async def test_a_profile_is_described(home: Path) -> None:
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        text = screen_text(pilot.app)
        for expected in (
            "small-card",
            "shipped",
            "Llama 3.2 3B on 6 GB",
            "2,048 tokens",
            "r 16",
            "1 x 4 accumulated = 4",
            'name = "unsloth/Llama-3.2-3B-Instruct"',
        ):
            assert expected in text


async def test_without_a_card_the_list_compares_with_the_card_of_the_title(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "forecast_resources", forecast_resources)
    monkeypatch.setattr(forecast, "read_card", lambda device="auto": None)
    for path in (home / "shipped").iterdir():
        path.unlink()
    for name in ("demo", "rtx3050-4gb-8b", "rtx3050-4gb"):
        (home / "shipped" / f"{name}.toml").write_bytes((REPOSITORY / "profiles" / f"{name}.toml").read_bytes())
    for size in ((80, 24), (120, 36)):
        async with CodexApp().run_test(size=size) as pilot:
            await settled(pilot)
            text = screen_text(pilot.app)
            assert pilot.app.screen.picked.name == "demo"
            assert "recommended" in text
            assert "✓ fits 4 GB: 3.4 GB" in text  # the 8B profile keeps layers in host memory
            assert "~ tight on 4 GB: 3.6 GB" in text
            assert "6,341" not in text


async def test_what_fits_comes_first_and_the_selection_stays_where_a_person_moved_it(home: Path) -> None:
    locations.user_profiles().mkdir(parents=True, exist_ok=True)
    (locations.user_profiles() / "own.toml").write_text('[model]\nname = "x/not-here"\n')
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        screen = pilot.app.screen
        assert [entry.name for entry in screen._entries] == ["small-card", "own", "broken"]
        assert screen.picked.name == "small-card"
        assert "recommended" in screen_text(pilot.app)
        await pilot.press("down", "ctrl+r")
        await settled(pilot)
        assert screen.picked.name == "own"


async def test_a_scroll_bar_shows_that_there_are_more_profiles(home: Path) -> None:
    locations.user_profiles().mkdir(parents=True, exist_ok=True)
    for number in range(6):
        (locations.user_profiles() / f"own-{number}.toml").write_text('[model]\nname = "demo:llama"\n')
    async with CodexApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        profiles = pilot.app.screen.query_one(Choices)
        edge = [profiles.render_line(y).text[-1] for y in range(profiles.content_size.height)]
        assert edge[0] == "┃" and edge[-1] == " "
        await pilot.press("end")
        edge = [profiles.render_line(y).text[-1] for y in range(profiles.content_size.height)]
        assert edge[0] == " " and "┃" in edge[-3:]
    async with CodexApp().run_test(size=(80, 60)) as pilot:
        await settled(pilot)
        profiles = pilot.app.screen.query_one(Choices)
        assert "┃" not in "".join(profiles.render_line(y).text for y in range(profiles.content_size.height))


async def test_a_pipe_among_the_profiles_does_not_block_the_list(home: Path) -> None:
    locations.user_profiles().mkdir(parents=True, exist_ok=True)
    os.mkfifo(locations.user_profiles() / "a-pipe.toml")
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        while pilot.app.screen.picked.name != "a-pipe":
            await pilot.press("down")
        await until(pilot, lambda: "can't be read: it is not a file" in screen_text(pilot.app))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))


async def test_ctrl_c_names_the_key_that_quits(home: Path, make_run: Any) -> None:
    async with CodexApp().run_test(size=SIZE, notifications=True) as pilot:
        await settled(pilot)
        await pilot.press("ctrl+c")
        await until(pilot, lambda: "q quits the app. A training run continues." in screen_text(pilot.app))
    async with CodexApp(make_run(), pane="chat").run_test(size=SIZE, notifications=True) as pilot:
        await settled(pilot)
        await pilot.press("c", "ctrl+c")  # where q is a letter
        await until(pilot, lambda: "ctrl+q quits the app" in screen_text(pilot.app))


async def test_problems_name_field_and_line(home: Path) -> None:
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("end")
        text = screen_text(pilot.app)
        assert "✗ 2 problems" in text
        assert "line 4  lora.rank" in text
        assert "line 6  training.learning_rate" in text
        assert "✗  4 rank = 3" in text  # in its place in the file
        assert "Enter" not in pilot.app.screen.query_one(HintBar).keys
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ProfilesScreen)  # it can't be launched


async def test_editing_a_shipped_profile_outside_copies_it_and_reads_it_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited: list[list[str]] = []

    def edit(command: list[str], check: bool) -> None:
        edited.append(command)
        path = Path(command[-1])
        path.write_text(path.read_text().replace("Llama 3.2 3B on 6 GB", "My own"))

    from contextlib import nullcontext

    monkeypatch.setenv("EDITOR", "my-editor --wait")
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr("subprocess.run", edit)
    app = CodexApp()
    monkeypatch.setattr(app, "suspend", nullcontext)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("E")
        await until(pilot, lambda: "My own" in screen_text(pilot.app))
        assert "yours" in screen_text(pilot.app)
    own = locations.user_profiles() / "small-card.toml"
    assert edited == [["my-editor", "--wait", str(own)]]
    assert "My own" in own.read_text()
    assert "My own" not in (home / "shipped" / "small-card.toml").read_text()


async def test_launching_opens_the_cockpit(home: Path, plans: list[LaunchPlan]) -> None:
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, LaunchDialog))
        dataset = pilot.app.screen.query_one("#dataset", Input)
        assert dataset.value == "demo:zombie-waves"
        dataset.value = "/nowhere.jsonl"
        await pilot.press("enter")
        await until(pilot, lambda: "/nowhere.jsonl: no such dataset file." in screen_text(pilot.app))
        dataset.value = "demo:zombie-waves"
        await pilot.press("tab", *"night", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))
        await settled(pilot)
        assert "night" in screen_text(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ProfilesScreen))
    [plan] = plans
    assert (plan.name, plan.source.name) == ("night", "demo:zombie-waves")


async def test_a_launch_does_its_slow_work_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = write_profile(locations.user_profiles())
    monkeypatch.setattr(forecast, "forecast_resources", forecast_resources)
    monkeypatch.setattr(forecast, "read_card", read_card)
    python = idle_interpreter(home, 60)
    monkeypatch.setattr(build, "ensure", lambda progress: python)
    opened: list[RunDirectory] = []
    monkeypatch.setattr(CodexApp, "on_open_run", lambda self, message: opened.append(message.run))
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert pilot.app.screen.picked.name == "counted"
        counts = count_launch_work(profile, monkeypatch)
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen.checks.forecast and "Memory" in screen_text(pilot.app))
        await pilot.press("enter")
        await until(pilot, lambda: opened)
    for child in local._children:
        child.kill()
        child.wait()
    assert counts == ONCE_EACH


async def test_the_dialog_shows_the_progress_of_the_set_up(
    home: Path, make_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = os.pipe()

    def ensure(progress: Any) -> Path:
        progress(Progress("installing", 12, 30, "packages", "torch 2.13.0", 65.0))
        os.read(read, 1)
        return Path("/usr/bin/python3")

    monkeypatch.setattr(build, "ensure", ensure)
    monkeypatch.setattr(launcher, "launch", lambda *a, **k: make_run(end="training", steps=10))
    async with CodexApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        await pilot.press("n", "enter")
        await until(pilot, lambda: "12 / 30" in screen_text(pilot.app))
        assert "torch 2.13.0" in screen_text(pilot.app)
        assert "1:05 left" in screen_text(pilot.app)
        os.write(write, b"x")
        await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))
        await settled(pilot)


async def test_an_empty_list_says_where_profiles_go(home: Path) -> None:
    for path in (home / "shipped").iterdir():
        path.unlink()
    async with CodexApp().run_test(size=SIZE) as pilot:
        await until(pilot, lambda: "There are no profiles" in screen_text(pilot.app))
