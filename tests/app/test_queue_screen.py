"""Queued runs on the screens: their order in the list, the keys that move and remove them, and the launch dialog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from support.fake_runs import append_events
from support.pilot import screen_text, settled, until

from codex_tui import launcher
from codex_tui.base import locations
from codex_tui.ui.app import CodexApp
from codex_tui.ui.kit.choices import Choices
from codex_tui.ui.kit.hints import HintBar
from codex_tui.ui.launch.dialog import LaunchDialog
from training.contract import events as ev
from training.contract.card_queue import CardQueue
from training.contract.control import Request
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.memory.visible_gpu import name_cards

SMALL, LARGE = (80, 24), (200, 60)


@pytest.fixture
def queue() -> Iterator[CardQueue]:
    """The queue of the card that a profile picks by default. This process holds the tickets until the end."""
    with ExitStack() as leases:

        class Queue(CardQueue):
            def take(self, run: str, *, start_now: bool = False) -> Any:
                return leases.enter_context(closing(super().take(run, start_now=start_now)))

        yield Queue(locations.runs_home(), name_cards("auto"))


def names(queue: CardQueue) -> list[str]:
    return [f"{ticket.run} {ticket.state}" for ticket in queue.read()]


def make_queued(make_run: Any, queue: CardQueue, *queued: str) -> list[RunDirectory]:
    """A run that trains, and runs that wait for it in the order of their names."""
    make_run(name="first", end="training", steps=40)
    queue.take("first")
    runs = []
    for name in queued:
        run = make_run(name=name, end="lost", steps=0)
        queue.take(name)
        run.write_keeper(ProcessIdentity.current())
        run.process.unlink(missing_ok=True)
        append_events(run, ev.Held(state="queued", reason="first trains on this card.", ends="It starts by itself."))
        runs.append(run)
    return runs


def listed(pilot: Any) -> list[str]:
    rows = [line.strip("│ ▌").split() for line in screen_text(pilot.app).splitlines() if "⋯ queued" in line]
    return [f"{row[0]} {row[row.index('queued') + 1]}" for row in rows if "state" not in row]


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_queued_runs_are_listed_in_their_order_and_moved_and_removed(
    make_run: Any, queue: CardQueue, size: tuple[int, int]
) -> None:
    runs = make_queued(make_run, queue, "one", "two", "three")
    async with CodexApp().run_test(size=size) as pilot:
        await settled(pilot)
        if not pilot.app.screen.query("#runs"):
            await pilot.press("o")
        await until(pilot, lambda: listed(pilot)[:3] == ["one 1", "two 2", "three 3"])
        assert "[ ]" in screen_text(pilot.app) or "[ ]" in pilot.app.screen.query_one(HintBar).keys
        assert "first trains on this card." in screen_text(pilot.app)
        pilot.app.screen.query_one(Choices).action_move(1)
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: listed(pilot)[:3] == ["two 1", "one 2", "three 3"])
        assert names(queue) == ["first training", "two queued", "one queued", "three queued"]
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: names(queue)[1:3] == ["one queued", "two queued"])
        await pilot.press("x")
        await until(pilot, lambda: runs[1].read_request() == Request("save"))


async def test_on_a_busy_card_the_dialog_queues_the_run_or_starts_it_anyway(
    home: Path, make_run: Any, queue: CardQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[bool] = []

    def launch(plan: Any, python: Path, *, wait: bool, **_: object) -> RunDirectory:
        waits.append(wait)
        return make_run(name=f"made-{len(waits)}", end="training", steps=10)  # type: ignore[no-any-return]

    monkeypatch.setattr("codex_tui.environment.build.ensure", lambda progress: Path("/usr/bin/python3"))
    monkeypatch.setattr(launcher, "launch", launch)
    path = home / "config" / "profiles" / "mine.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('[model]\nname = "demo:llama"\n[dataset]\npath = "demo:zombie-waves"\n')
    for key, wait in (("ctrl+n", False), ("enter", True)):
        async with CodexApp().run_test(size=SMALL) as pilot:
            await settled(pilot)
            await pilot.press("n")
            await until(pilot, lambda pilot=pilot: isinstance(pilot.app.screen, LaunchDialog))
            if not queue.read():
                await until(pilot, lambda pilot=pilot: "Enter launch" in screen_text(pilot.app))
                await pilot.press("ctrl+n")  # on a free card the key does nothing
                queue.take("demo-3")
            await until(pilot, lambda pilot=pilot: "Enter queue" in screen_text(pilot.app))
            text = " ".join(screen_text(pilot.app).split())
            assert "demo-3 trains on" in text and "ctrl+n start anyway" in text
            assert not [one for one in waits if one is wait]
            await pilot.press(key)
            await until(pilot, lambda wait=wait: wait in waits)
    assert waits == [False, True]
