"""A run on another machine or in Slurm, on the screens: where it is, why it waits or can't be reached, and the keys."""

from __future__ import annotations

import os
import time
from typing import Any

import msgspec
import pytest
from support.engine_runs import put_on_box, put_on_slurm
from support.fake_engine import FakeEngine, use_fake_engine
from support.fake_runs import append_events
from support.launching import see as see_dialog
from support.pilot import screen_text, settled, until
from support.screens import EVIL

from codex_tui.base.progress import Progress
from codex_tui.base.text import format_moment
from codex_tui.runs.fetching import publish_progress
from codex_tui.ui.alerts import format_title
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.gpu_panel import GpuPanel
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.kit.dialogs import Confirm
from training.contract import events as ev
from training.contract.engine import EngineRecord
from training.contract.run_directory import RunDirectory

SIZES = [(80, 24), (120, 36), (200, 60)]


@pytest.fixture(autouse=True)
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_engine(monkeypatch)


def words_of(pilot: Any) -> str:
    return " ".join(screen_text(pilot.app).replace("│", " ").split())


def list_notices(pilot: Any) -> str:
    return " ".join(notice.message for notice in pilot.app._notifications)


def read_text(panel: GpuPanel) -> str:
    strips = panel.paint(panel.size.width, panel.size.height)
    return " ".join(" ".join(strip.text for strip in strips).split())


async def see(pilot: Any, *texts: str) -> None:
    await until(pilot, lambda: all(text in words_of(pilot) for text in texts))


@pytest.mark.parametrize("size", SIZES)
async def test_a_run_that_waits_for_slurm_says_why_and_can_be_ended(make_run: Any, size: tuple[int, int]) -> None:
    run: RunDirectory = make_run(end="loading")
    run.events.unlink()
    run.process.unlink()
    put_on_slurm(run, "waiting", reason="no node with enough free resources")
    async with CodexApp(run).run_test(size=size) as pilot:
        await settled(pilot)
        await see(pilot, "◷ waiting", "on Slurm", "Waiting. Slurm: no node with enough free resources.", "s end it")
        await see(pilot, "Slurm starts it by itself.", "no step trained")
        text = words_of(pilot)
        assert "ETA" not in text and "elapsed" not in text and "lend the card" not in text and "go on now" not in text
        assert format_title("zombies-1", pilot.app.screen.watched) == "◷ zombies-1 waiting"
        await pilot.press("L")
        text = "The run keeps its place in the queue, and does not start until you press L again."
        await until(pilot, lambda: text in list_notices(pilot))
        assert ("zombies-1", "park") in FakeEngine.asked
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await see_dialog(pilot, "It has trained no step: nothing is lost", "leave it waiting")
        await pilot.press("enter")
        await until(pilot, lambda: "The run ends. It can be resumed later." in list_notices(pilot))
        assert ("zombies-1", "save") in FakeEngine.asked


async def test_a_job_that_slurm_starts_again_says_what_it_waits_for_and_where_it_goes_on(make_run: Any) -> None:
    run: RunDirectory = make_run(end="lost", steps=120)
    held = ev.Held(
        state="waiting", reason="Slurm warned of the job's time limit.", ends="Slurm starts it again.", step=120
    )
    append_events(run, held)
    put_on_slurm(run, "waiting", reason="other jobs come first", host="n[1-2]")
    async with CodexApp(run).run_test(size=SIZES[1]) as pilot:
        await settled(pilot)
        await see(
            pilot,
            "on Slurm (n[1-2])",
            "60 %",
            "Waiting at step 120. Slurm warned of the job's time limit. Slurm: other jobs",
        )
        assert "ETA" not in words_of(pilot)


@pytest.mark.parametrize("size", SIZES)
async def test_a_cut_link_is_unreachable_and_its_figures_have_their_time(make_run: Any, size: tuple[int, int]) -> None:
    run: RunDirectory = make_run(end="lost", steps=120)
    append_events(run, ev.Gpu(used_mib=3072.0, total_mib=6144.0, temperature=61.0))
    moment = time.time() - 3600
    clock = format_moment(moment)  # with the day, if that was before midnight
    put_on_box(run, "unreachable", reason="Connection timed out", seen=moment, since=moment)
    async with CodexApp(run).run_test(size=size) as pilot:
        await settled(pilot)
        await see(pilot, "⊘ unreachable", "on box", "60 %", f"No answer from box since {clock}: Connection timed out.")
        await see(pilot, f"It may be training. The figures are from {clock}.", "61 °C", "From ")
        text = words_of(pilot)
        assert "ETA" not in text and "lost" not in text and "resume" not in text and "s stop" not in text
        assert format_title("zombies-1", pilot.app.screen.watched) == "⊘ zombies-1 unreachable"
        await pilot.press("r")
        await see_dialog(pilot, "zombies-1 may be training. No answer from box")
        await pilot.press("escape")
        assert FakeEngine.asked == []
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await see_dialog(pilot, "The request arrives only if it answers now.")
        await pilot.press("escape")
        append_events(run, ev.Metrics(step=121, loss=0.4))  # the link is back, and an event comes
        await see(pilot, "● training")


@pytest.mark.parametrize("size", SIZES)
async def test_the_gpu_panel_shows_the_cards_of_the_run_and_none_of_this_machine(
    make_run: Any, size: tuple[int, int]
) -> None:
    run: RunDirectory = make_run(end="lost", steps=120)
    put_on_box(run, "running")
    async with CodexApp(run).run_test(size=size) as pilot:
        await settled(pilot)
        panel = pilot.app.screen.query_one(GpuPanel)
        assert "The run is on box and records no GPU now." in read_text(panel)
        for celsius in (61.0, 64.0):
            append_events(run, ev.Gpu(used_mib=3072.0, total_mib=6144.0, temperature=celsius, utilisation=97.0))
            await see(pilot, f"{celsius:.0f} °C", "3.0 / 6.0 GiB", "97 % busy")
        assert [*panel._history["temperature"]] == [61.0, 64.0]
        assert "RTX" not in words_of(pilot) and "RAM 6.2" not in words_of(pilot)  # the card and the memory of this one
        if size != SIZES[0]:
            assert "GPU of the run on box" in read_text(panel) and "It is no card of this machine." in read_text(panel)


async def test_a_chat_never_asks_the_trainer_of_another_machine(make_run: Any, workers: Any) -> None:
    run: RunDirectory = make_run(end="training", steps=120)
    put_on_box(run, "running")
    async with CodexApp(run, pane="chat").run_test(size=SIZES[0]) as pilot:
        await settled(pilot)
        await see(pilot, "The run is on box: its trainer can't answer here.")
        assert "ctrl+b" not in words_of(pilot)
        await pilot.press("c", *"Where?", "ctrl+b")
        await until(pilot, lambda: "Its adapter comes here at its end." in list_notices(pilot))
        await pilot.press("enter")
        await see(pilot, "Hold the dock.")
    assert not run.questions.exists() and not run.loans.exists()


async def test_the_details_name_engine_job_and_host(make_run: Any) -> None:
    run: RunDirectory = make_run(end="lost", steps=120)
    put_on_slurm(run, "running", host="n1", attempt=2, submitted=time.time() - 60)
    async with CodexApp(run).run_test(size=SIZES[2]) as pilot:
        await settled(pilot)
        await pilot.press("i")
        await see(
            pilot, "engine slurm", "host n1", "job 4711", "from attempt 2 on", "state over there running", "last answer"
        )


async def test_the_list_of_runs_says_where_they_are_and_why_they_wait(make_run: Any) -> None:
    put_on_box(make_run("silent", end="lost", steps=120), "unreachable", reason="Connection refused")
    run: RunDirectory = make_run("queued", end="lost", steps=120)
    put_on_slurm(run, "waiting", reason="no node with enough free resources")
    put_on_slurm(make_run("crashed", end="lost", steps=120), "gone", reason="its node failed")
    async with CodexApp().run_test(size=SIZES[1]) as pilot:
        await settled(pilot)
        await pilot.press("o")
        await see(pilot, "⊘ unreachable", "◷ waiting", "? lost")
        shown = {
            "silent": "No answer from box since",
            "queued": "no node with enough free",
            "crashed": "its node failed",
        }
        for name, reason in shown.items():
            await pilot.press("slash", *name, "enter")
            await see(pilot, reason, f"on {'box' if name == 'silent' else 'Slurm'}")
            assert ("r resume" in words_of(pilot)) == (name == "crashed")
            assert "L lend" not in words_of(pilot) and "L go on" not in words_of(pilot)
            await pilot.press("escape")


async def test_what_an_engine_says_is_harmless(make_run: Any) -> None:
    run: RunDirectory = make_run(end="lost", steps=120)
    record = EngineRecord("slurm", job="4711", host=EVIL, reason=EVIL, status="waiting", seen=1e300)
    run.write_engine(record)
    os.utime(run.events, (1, 1))
    async with CodexApp(run).run_test(size=SIZES[1]) as pilot:
        await settled(pilot)
        await see(pilot, "◷ waiting")
        for status in ("unreachable", "running", "gone"):
            run.write_engine(msgspec.structs.replace(record, status=status))
            await see(pilot, {"running": "● training", "gone": "? lost"}.get(status, status))
            await pilot.press("i")
            await see(pilot, "Details of zombies-1")
            assert not set(screen_text(pilot.app)) & {"\x1b", "\x07", "\x9b"}
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(pilot.app.screen, CockpitScreen))


@pytest.mark.parametrize("size", SIZES)
async def test_the_results_that_come_from_another_machine_show_how_far_they_are(
    make_run: Any, size: tuple[int, int]
) -> None:
    run: RunDirectory = make_run(end="done")
    put_on_box(run, "running")
    async with CodexApp(run).run_test(size=size) as pilot:
        await settled(pilot)
        await see(pilot, "c chat")
        host = EVIL if size == SIZES[2] else "box"
        with publish_progress(run) as report:
            report(Progress(f"fetching adapter from {host}", 12_000_000, 80_000_000, seconds_left=40.0))
            await see(pilot, "Fetching adapter from ", "15 %, about 0:40 left", "c chat")
            if size == SIZES[1]:
                report(Progress("looking for results on box"))
                await see(pilot, "Looking for results on box", "…")
        await until(pilot, lambda: "on box …" not in words_of(pilot) and "about 0:40" not in words_of(pilot))
