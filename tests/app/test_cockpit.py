"""The panes of the cockpit and the keys that the last row names. Leaving the cockpit does not affect the run."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support import fake_runs
from support.pilot import screen_text, settled, until
from support.screens import find_shown_panes
from textual.widgets import Input

from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.details import DetailsScreen
from codex_tui.ui.cockpit.panes import PANES
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.help import HelpScreen
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.profiles.screen import ProfilesScreen
from codex_tui.ui.runs.screen import RunsScreen
from training.contract import events as ev
from training.contract.run_directory import RunDirectory

WIDE, NARROW = (120, 36), (80, 24)


async def test_a_large_terminal_shows_all_panes(make_run: Any) -> None:
    async with CodexApp(make_run(end="training", steps=120)).run_test(size=WIDE) as pilot:
        await settled(pilot)
        text = screen_text(pilot.app)
        for expected in ("zombies-1", "● training", "step 120 / 200", "60 %", "ETA", "small-card", "Llama-3.2-3B"):
            assert expected in text
        for expected in ("1 Loss", "2 GPU", "3 Samples", "4 Chat", "5 Log", "4.6 / 6.0 GiB", "Throttled: power cap"):
            assert expected in text
        assert "the run's peak 4.4 GiB" in text


async def test_a_small_terminal_has_tabs_and_a_gpu_line(make_run: Any) -> None:
    async with CodexApp(make_run()).run_test(size=NARROW) as pilot:
        await settled(pilot)
        assert find_shown_panes(pilot.app) == ["chart", "gpu"]
        assert pilot.app.screen.query_one("#gpu").size.height == 1
        for key, pane in zip("12345", ("chart", "gpu", "samples", "chat", "log"), strict=True):
            pilot.app.screen.set_focus(None)
            await pilot.press(key)
            await pilot.pause()
            assert pane in find_shown_panes(pilot.app)
            assert pilot.app.screen.query_one("#gpu").has_class("line") == (pane != "gpu")
        await pilot.resize_terminal(*WIDE)
        await pilot.pause()
        assert len(find_shown_panes(pilot.app)) == len(PANES)


async def test_zoom_shows_one_pane_and_can_be_undone(make_run: Any) -> None:
    async with CodexApp(make_run()).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("5", "z")
        await pilot.pause()
        assert find_shown_panes(pilot.app) == ["log"]
        await pilot.press("escape")
        await pilot.pause()
        assert len(find_shown_panes(pilot.app)) == len(PANES)


async def test_tab_moves_through_the_panes(make_run: Any) -> None:
    async with CodexApp(make_run()).run_test(size=WIDE) as pilot:
        await settled(pilot)
        seen = []
        for _ in range(6):
            focused = pilot.app.screen.focused
            assert focused is not None
            seen.append(next(node.id for node in focused.ancestors_with_self if node.id in dict(PANES)))
            await pilot.press("tab")
        assert seen == ["chart", "gpu", "samples", "chat", "chat", "log"]


async def test_every_hinted_key_is_bound(make_run: Any) -> None:
    async with CodexApp(make_run()).run_test(size=WIDE) as pilot:
        await settled(pilot)
        for pane, _ in PANES:
            pilot.app.screen.set_focus(None)
            await pilot.press(str([name for name, _ in PANES].index(pane) + 1))
            if pane == "chat":
                await pilot.press("escape")  # leaves the input, where letters are text
            bound = set(pilot.app.screen.active_bindings)
            for key in pilot.app.screen.query_one(HintBar).keys:
                names = {"← →": "left", "+ -": "plus", "↑ ↓": "up", "1-5": "1", "?": "question_mark"}
                assert names.get(key, key) in bound, f"{key} in {pane}"


@pytest.mark.parametrize(
    ("key", "screen"),
    [("question_mark", HelpScreen), ("p", ProfilesScreen), ("o", RunsScreen), ("i", DetailsScreen)],
)
async def test_keys_open_other_screens_and_escape_returns(make_run: Any, key: str, screen: type) -> None:
    async with CodexApp(make_run()).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press(key)
        await until(pilot, lambda: isinstance(pilot.app.screen, screen))
        await settled(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))


async def test_the_passes_that_auto_has_chosen_are_no_warning() -> None:
    chosen = {"training.per_device_train_batch_size": (1, 4, "larger passes are faster and fit")}
    changed = {"training.optim": ("adamw_8bit", "adamw_torch", "8-bit optimizers have no CPU kernels")}
    resolved = ev.Resolved(total_steps=3, steps_per_epoch=3, train_rows=3, eval_rows=0, changed=chosen | changed)
    run = fake_runs.make_run("a", ev.Started(attempt=1, pid=1), resolved, ev.Done(step=3))
    async with CodexApp(run).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("i")
        await until(pilot, lambda: "training.optim: adamw_8bit → adamw_torch (8-bit" in screen_text(pilot.app))
        shown = screen_text(pilot.app)
    assert re.search(r"chosen +training.per_device_train_batch_size: 1 → 4 \(larger passes", shown)
    assert re.search(r"changed +training.optim: ", shown)


async def test_quitting_detaches_and_does_not_stop(make_run: Any) -> None:
    run: RunDirectory = make_run(end="training", steps=50)
    before = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    app = CodexApp(run)
    async with app.run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running or app._exit)
    assert [watched.name for watched in app.find_live_runs()] == ["zombies-1"]
    assert run.read_stop_request() is None
    assert {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()} == before


async def test_an_ended_run_is_not_a_live_run(make_run: Any) -> None:
    app = CodexApp(make_run())
    async with app.run_test(size=WIDE) as pilot:
        await settled(pilot)
    assert app.find_live_runs() == []


async def test_two_viewers_see_the_same(make_run: Any) -> None:
    run: RunDirectory = make_run(end="training", steps=90)
    async with CodexApp(run).run_test(size=WIDE) as one:
        await settled(one)
        async with CodexApp(run).run_test(size=WIDE) as two:
            await settled(two)
            assert screen_text(one.app) == screen_text(two.app)


async def test_the_palette_lists_the_actions(make_run: Any) -> None:
    async with CodexApp(make_run()).run_test(size=WIDE) as pilot:
        await settled(pilot)
        names = {command.title for command in pilot.app.get_system_commands(pilot.app.screen)}
        assert {"Stop the run", "Zoom, and back", "Profiles", "Runs", "Help", "Dark or light theme", "Quit"} <= names
        assert not pilot.app.screen.query(Input).first().cursor_blink


async def test_light_and_dark(make_run: Any) -> None:
    async with CodexApp(make_run()).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("ctrl+t")
        assert pilot.app.theme == "codex-light"
        await pilot.press("ctrl+t")
        assert pilot.app.theme == "codex-dark"
