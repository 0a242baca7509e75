"""The cockpit shows a run in panes; its keys do what the last row says; leaving it does not affect the run."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.config_file import read_config, write_config
from support.fake_checkpoint import write_checkpoint
from support.fake_runs import append_events
from support.pilot import screen_text, settled, until
from textual.widgets import Input

from codex_tui import launcher, stopping
from codex_tui.base import bandwidth
from codex_tui.base.errors import BadInput
from codex_tui.engines import local
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.banner import Banner
from codex_tui.ui.cockpit.details import DetailsScreen
from codex_tui.ui.cockpit.panes import PANES
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.help import HelpScreen
from codex_tui.ui.kit.dialogs import Confirm, Notice
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.profiles.screen import ProfilesScreen
from codex_tui.ui.runs.screen import RunsScreen
from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.run_directory import RunDirectory

WIDE, NARROW = (120, 36), (80, 24)


def find_shown_panes(app: CodexApp) -> list[str]:
    return [pane for pane, _ in PANES if app.screen.query_one(f"#{pane}").display]


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


async def test_the_keys_of_the_chart_change_its_axes(make_run: Any) -> None:
    async with CodexApp(make_run()).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("g", "x")
        await pilot.pause()
        assert "logarithmic" in screen_text(pilot.app)
        assert " steps " not in screen_text(pilot.app).split("2 GPU")[1].split("3 Samples")[0]


async def test_y_shows_the_other_curves_of_the_run(make_run: Any) -> None:
    async with CodexApp(make_run(end="training", steps=120)).run_test(size=NARROW) as pilot:
        await settled(pilot)
        for text in ("━ learning rate 1.04e-4", "gradient norm 0.7100", "tokens/s 1,300", "smoothed"):
            await pilot.press("y")
            await until(pilot, lambda text=text: text in screen_text(pilot.app))
        assert "loss 0." in screen_text(pilot.app)  # this run has no temperature and no memory during its steps


async def test_a_large_terminal_shows_them_all_below_the_losses(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(end="training", steps=120)
    async with CodexApp(run).run_test(size=(200, 60)) as pilot:
        await settled(pilot)
        await until(pilot, lambda: "gradient norm 0.7100" in screen_text(pilot.app))
        assert "learning rate 1.04e-4" in screen_text(pilot.app)
        assert "smoothed" in screen_text(pilot.app)
    monkeypatch.setattr(bandwidth, "pace", bandwidth.LOW)
    async with CodexApp(run).run_test(size=(200, 60)) as pilot:
        await settled(pilot)
        assert "gradient norm" not in screen_text(pilot.app)


async def test_escape_puts_the_cursor_of_the_chart_away_before_it_leaves(make_run: Any) -> None:
    async with CodexApp(make_run()).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("z", "1", "left", "left")
        await until(pilot, lambda: "│ step 199  loss" in screen_text(pilot.app))
        assert "whole chart" in screen_text(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: "│ step 199  loss" not in screen_text(pilot.app))
        assert find_shown_panes(pilot.app) == ["chart"]
        await pilot.press("escape")
        await until(pilot, lambda: len(find_shown_panes(pilot.app)) == len(PANES))


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


async def test_stop_asks_before_each_request(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run: RunDirectory = make_run(end="training", steps=50)
    requests: list[str] = []

    def stop(target: RunDirectory) -> str:
        requests.append(target.name)
        level = "save" if target.read_stop_request() is None else "terminate"
        target.request_stop(level)
        return level

    monkeypatch.setattr(stopping, "stop", stop)
    async with CodexApp(run).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        assert "Stop and save?" in screen_text(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))
        assert requests == []
        for question in ("Stop and save?", "End the run now?"):
            await pilot.press("s")
            await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
            assert question in screen_text(pilot.app)
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))
        await until(pilot, lambda: len(requests) == 2)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        assert "Kill the run?" in screen_text(pilot.app)
        assert "checkpoint at step 40" in screen_text(pilot.app)


@pytest.mark.parametrize(
    ("end", "texts"),
    [
        ("failed", ["✗ The GPU ran out of memory at step 121.", "Set max_seq_length = 1024", "resume from step 120"]),
        ("lost", ["? The trainer ended at step 120 without a message", "checkpoint at step 120 is safe"]),
        ("stopped", ["■ Stopped at step 120", "resume from step 120"]),
    ],
)
async def test_the_banner_explains_a_failed_lost_or_stopped_run(make_run: Any, end: str, texts: list[str]) -> None:
    async with CodexApp(make_run(end=end, steps=120)).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await until(pilot, lambda: pilot.app.screen.query_one(Banner).display)
        text = screen_text(pilot.app)
        for expected in texts:
            assert expected in text


@pytest.mark.parametrize("size", [WIDE, (80, 24)])
async def test_a_silent_trainer_is_not_shown_as_lost(make_run: Any, size: tuple[int, int]) -> None:
    run: RunDirectory = make_run(end="training", steps=50)
    for path in (run.events, run.process):
        os.utime(path, (time.time() - 125, time.time() - 125))
    async with CodexApp(run).run_test(size=size) as pilot:
        await settled(pilot)
        await until(pilot, lambda: "silent for 2 min, process is alive" in screen_text(pilot.app))
        assert "● training" in screen_text(pilot.app)
        append_events(run, ev.Heartbeat())
        await until(pilot, lambda: "silent" not in screen_text(pilot.app))


async def test_resume_is_refused_with_the_reason(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(run: RunDirectory, **_: bool) -> None:
        raise BadInput("There is no whole checkpoint.", "Start it again.")

    monkeypatch.setattr(launcher, "resume", refuse)
    async with CodexApp(make_run(end="failed", steps=60)).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))
        assert "There is no whole checkpoint." in screen_text(pilot.app)


async def test_a_resume_shows_the_step_it_resumes_from(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run: RunDirectory = make_run(end="failed", steps=60)  # with a checkpoint of step 40
    (write_checkpoint(run.checkpoints, 60) / "optimizer.pt").write_bytes(b"")
    started: list[RunDirectory] = []
    monkeypatch.setattr(local.LocalEngine, "start", lambda self, run, start: started.append(run))
    monkeypatch.setattr("codex_tui.environment.build.find_python", lambda: Path(sys.executable))
    async with CodexApp(run).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("r")
        await until(pilot, lambda: list(pilot.app._notifications))
        [notification] = pilot.app._notifications
        assert notification.message == "The checkpoint of step 60 is damaged (optimizer.pt). Resuming from step 40."

        (run.checkpoints / "checkpoint-40" / "optimizer.pt").write_bytes(b"")
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        assert "Start over?" in screen_text(pilot.app)
        assert len(started) == 1
        await pilot.press("enter")
        await until(pilot, lambda: len(started) == 2)


async def test_an_unforeseen_error_is_a_notice(make_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(run: RunDirectory, **_: bool) -> None:
        raise RuntimeError("the disk [/] is on fire")

    monkeypatch.setattr(launcher, "resume", fail)
    async with CodexApp(make_run(end="failed", steps=60)).run_test(size=WIDE) as pilot:
        await settled(pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(pilot.app.screen, Notice))
        assert "the disk [/] is on fire" in screen_text(pilot.app)


async def test_new_events_and_log_lines_appear(make_run: Any) -> None:
    run: RunDirectory = make_run(end="training", steps=50)
    async with CodexApp(run).run_test(size=WIDE) as pilot:
        await settled(pilot)
        writer = EventWriter(run.events)
        writer.emit(ev.Metrics(step=51, loss=0.1234, tokens=70_000))
        with run.log.open("a") as log:
            log.write("Saving the adapter\n")
        screen = pilot.app.screen
        assert isinstance(screen, CockpitScreen)
        screen._tick()
        await pilot.pause()
        text = screen_text(pilot.app)
        assert "step 51 / 200" in text
        assert "loss 0.1234" in text
        assert "Saving the adapter" in text
        writer.close()


async def test_two_viewers_see_the_same(make_run: Any) -> None:
    run: RunDirectory = make_run(end="training", steps=90)
    async with CodexApp(run).run_test(size=WIDE) as one:
        await settled(one)
        async with CodexApp(run).run_test(size=WIDE) as two:
            await settled(two)
            assert screen_text(one.app) == screen_text(two.app)


async def test_a_phase_shows_its_progress(make_run: Any) -> None:
    async with CodexApp(make_run(end="loading")).run_test(size=WIDE) as pilot:
        await settled(pilot)
        text = screen_text(pilot.app)
        assert "○ preparing" in text
        assert "tokenising 1,200 / 5,200 rows" in text


async def test_a_run_directory_without_events_log_or_config(make_run: Any) -> None:
    run: RunDirectory = make_run(end="training", steps=0)
    run.events.unlink()
    run.log.unlink()
    run.config.write_text("{ not json")
    async with CodexApp(run).run_test(size=NARROW) as pilot:
        await settled(pilot)
        assert "starting the trainer" in screen_text(pilot.app)


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


@pytest.mark.parametrize(("end", "size"), [("training", WIDE), ("done", NARROW), ("stopped", NARROW)])
@pytest.mark.parametrize("part", ["config", "events"])
async def test_a_run_of_a_newer_version_says_so_in_the_banner(
    make_run: Any, part: str, end: str, size: tuple[int, int]
) -> None:
    run: RunDirectory = make_run(end=end, steps=80)
    if part == "config":
        write_config(run, read_config(run) | {"version": 2})
    else:
        run.events.write_bytes(run.events.read_bytes().replace(b'"v":1', b'"v":2'))
    async with CodexApp(run).run_test(size=size) as pilot:
        await settled(pilot)
        text = " ".join(screen_text(pilot.app).split())
        assert (
            f"zombies-1 was written by a newer Codex TUI ({part} version 2, this one knows 1). "
            "Update: pip install -U codex-tui."
        ) in text
        assert text.count("newer Codex TUI") == 1
        assert ("r" in pilot.app.screen.query_one(HintBar).keys) == (part == "events" and end == "stopped")
