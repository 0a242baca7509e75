"""A held run on the screens: its state, why, what ends it, and the key that lends the card and brings the run back."""

from __future__ import annotations

from typing import Any

import pytest
from support.fake_runs import append_events
from support.pilot import screen_text, settled, until

from codex_tui.ui.alerts import format_title
from codex_tui.ui.app import CodexApp
from codex_tui.ui.cockpit.screen import CockpitScreen
from codex_tui.ui.kit.dialogs import Confirm
from codex_tui.ui.runs.screen import RunsScreen
from training.contract import events as ev
from training.contract.control import Request
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

SIZES = [(80, 24), (120, 36), (200, 60)]
HELD = ev.Held(state="parked", reason="blender uses 2,100 MiB.", ends="It goes on when blender has ended.", step=120)


def hold(run: RunDirectory, held: ev.Held = HELD) -> RunDirectory:
    """Let this process be the keeper of `run`, whose trainer has ended."""
    run.write_keeper(ProcessIdentity.current(2))
    run.write_process(ProcessIdentity(999_999, 1.0))
    append_events(run, held)
    return run


def list_notices(app: Any) -> str:
    return " ".join(notice.message for notice in app._notifications)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", ["queued", "parked", "waiting", "healing"])
async def test_the_cockpit_says_why_a_run_is_held_and_what_ends_it(
    make_run: Any, size: tuple[int, int], state: ev.HeldState
) -> None:
    held = ev.Held(state=state, reason="blender uses 2,100 MiB.", ends="It goes on when blender has ended.", step=120)
    async with CodexApp(hold(make_run(end="lost", steps=120), held)).run_test(size=size) as pilot:
        await settled(pilot)
        text = screen_text(pilot.app)
        for expected in (f"{state.capitalize()} at step 120. {HELD.reason}", HELD.ends, "60 %", "s end it"):
            assert expected in text
        assert "ETA" not in text and "silent" not in text and "resume" not in text
        does = {"queued": "L start now", "parked": "L bring it back", "waiting": "L go on now"}
        assert does[state] in text if state in does else "L " not in text.replace("Lend", "")
        screen = pilot.app.screen
        assert isinstance(screen, CockpitScreen)
        assert format_title("zombies-1", screen.watched).endswith(f" zombies-1 {state}")


async def test_l_lends_the_card_and_takes_it_back(make_run: Any) -> None:
    run: RunDirectory = make_run(end="training", steps=120)
    run.write_keeper(ProcessIdentity.current())
    append_events(run, ev.Heartbeat())
    async with CodexApp(run).run_test(size=SIZES[1]) as pilot:
        await settled(pilot)
        assert "L lend the card" in screen_text(pilot.app)
        await pilot.press("L")
        await until(pilot, lambda: run.read_request() == Request("park", "You lent the card."))
        await until(pilot, lambda: "L brings it back" in list_notices(pilot.app))
        await until(pilot, lambda: "L keep training" in screen_text(pilot.app))
        await pilot.press("L")  # before the run has saved
        await until(pilot, lambda: run.read_request() == Request("resume"))
        await until(pilot, lambda: "The run goes on: it is not parked." in list_notices(pilot.app))
        run.take_request()
        hold(run)
        await until(pilot, lambda: "Parked at step 120" in screen_text(pilot.app))
        await pilot.press("L")
        await until(pilot, lambda: run.read_request() == Request("resume"))
        await until(pilot, lambda: "The run goes on as soon as it has the card." in list_notices(pilot.app))
        run.take_request()
        run.write_process(ProcessIdentity.current(2))
        append_events(run, ev.Started(attempt=2, pid=1, resume_step=120))
        await until(pilot, lambda: "Parked" not in screen_text(pilot.app))


async def test_a_stop_of_a_held_run_says_that_nothing_is_lost(make_run: Any) -> None:
    run = hold(make_run(end="lost", steps=120))
    async with CodexApp(run).run_test(size=SIZES[1]) as pilot:
        await settled(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        text = screen_text(pilot.app)
        assert "End the run?" in text and "It is saved at step 120" in text and "leave it parked" in text
        await pilot.press("enter")
        await until(pilot, lambda: run.read_request() == Request("save"))


async def test_l_of_a_run_that_has_ended_says_what_is_wrong(make_run: Any) -> None:
    async with CodexApp(make_run(end="stopped", steps=120)).run_test(size=SIZES[1]) as pilot:
        await settled(pilot)
        await pilot.press("L")
        await until(pilot, lambda: "zombies-1 is not training." in screen_text(pilot.app))


@pytest.mark.parametrize("size", SIZES)
async def test_the_list_of_runs_shows_a_held_run_and_l_brings_it_back(make_run: Any, size: tuple[int, int]) -> None:
    run = hold(make_run(end="lost", steps=120))
    async with CodexApp().run_test(size=size) as pilot:
        await pilot.press("o")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunsScreen) and "zombies-1" in screen_text(pilot.app))
        await until(pilot, lambda: HELD.ends in " ".join(screen_text(pilot.app).split()))
        text = screen_text(pilot.app)
        assert "‖ parked" in text and HELD.reason in text and "bring it back" in text
        await pilot.press("L")
        await until(pilot, lambda: run.read_request() == Request("resume"))


async def test_a_run_that_heals_offers_no_key_in_the_list_of_runs(make_run: Any) -> None:
    hold(make_run(end="lost", steps=120), ev.Held(state="healing", reason="It ran out of memory.", step=120))
    async with CodexApp().run_test(size=SIZES[1]) as pilot:
        await pilot.press("o")
        await until(pilot, lambda: "✚ healing" in screen_text(pilot.app))
        assert "L lend the card" not in screen_text(pilot.app)


async def test_a_failure_is_not_shown_while_the_keeper_decides(make_run: Any) -> None:
    run: RunDirectory = make_run(end="training", steps=120)
    run.write_keeper(ProcessIdentity.current())
    append_events(run, ev.Heartbeat())
    async with CodexApp(run).run_test(size=SIZES[1]) as pilot:
        await settled(pilot)
        append_events(run, ev.Failed(kind="gpu_memory", message="The GPU ran out of memory."))
        await until(pilot, lambda: "stopping" in screen_text(pilot.app))
        assert "failed" not in screen_text(pilot.app)
        run.write_process(ProcessIdentity(999_999, 1.0))
        append_events(run, HELD)
        await until(pilot, lambda: "Parked at step 120" in screen_text(pilot.app))
        assert "ran out of memory" not in screen_text(pilot.app)
        append_events(run, ev.Stopped(step=120))
        run.keeper.unlink()
        await until(pilot, lambda: "Stopped at step 120" in screen_text(pilot.app))
