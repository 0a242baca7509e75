"""The engines of unfinished runs are asked in threads, those of shown runs more often."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import pytest
from support.fake_engine import FakeEngine, answer, send, use_fake_engine
from support.pilot import screen_text
from support.pilot import until as until_shown

from codex_tui.engines.watch import OTHER_SECONDS, SELDOM_SECONDS, SHOWN_SECONDS, EngineWatch, choose_pause
from codex_tui.ui.app import CodexApp
from training.contract.engine import EngineRecord

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.fixture(autouse=True)
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_engine(monkeypatch)


def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def test_shown_runs_are_looked_at_often_and_followed_and_others_seldom() -> None:
    shown, other = send("shown"), send("other")
    engine_watch = EngineWatch(lambda: [shown], lambda: [other])

    def answers(number: int) -> None:
        for run in (shown, other):
            answer(run, host=f"box{number}")

    def hosts() -> list[str]:
        return [record.host for run in (shown, other) if (record := run.read_engine())]

    answers(1)
    engine_watch.tick(100.0)
    until(lambda: hosts() == ["box1", "box1"] and ("shown", "follow") in FakeEngine.asked)
    until(lambda: not [name for name in engine_watch._busy if name.startswith("look")])
    answers(2)
    engine_watch.tick(100.0 + SHOWN_SECONDS)
    until(lambda: hosts() == ["box2", "box1"])
    engine_watch.tick(100.0 + OTHER_SECONDS)
    until(lambda: hosts() == ["box2", "box2"])
    assert ("other", "follow") not in FakeEngine.asked
    engine_watch.stop()


def test_a_machine_that_does_not_answer_is_only_looked_at() -> None:
    run = send("silent", status="unreachable")
    answer(run, status="running")
    engine_watch = EngineWatch(lambda: [run], lambda: [])
    engine_watch.tick(100.0)
    until(lambda: not engine_watch._busy and (record := run.read_engine()) and record.status == "running")
    assert ("silent", "follow") not in FakeEngine.asked
    engine_watch.tick(101.0)
    until(lambda: ("silent", "follow") in FakeEngine.asked)
    engine_watch.stop()


def test_a_machine_that_has_not_answered_for_long_is_asked_seldom() -> None:
    running = EngineRecord("ssh", status="running", since=1.0)
    assert choose_pause(running) == SHOWN_SECONDS
    silent = msgspec.structs.replace(running, status="unreachable", since=time.time())
    assert choose_pause(silent) == SHOWN_SECONDS
    assert choose_pause(msgspec.structs.replace(silent, since=time.time() - 200)) == pytest.approx(20, abs=1)
    assert choose_pause(msgspec.structs.replace(silent, since=1.0)) == SELDOM_SECONDS


def test_the_watch_survives_a_look_that_ends_while_it_counts_them() -> None:
    watched = EngineWatch(lambda: [run], lambda: [])
    run = send("counted")

    class Ending(str):
        def startswith(self, *_: object) -> bool:
            watched._busy.discard("look another")
            return False

    watched._busy |= {Ending("follow"), "look another"}
    watched.tick(0.0)
    assert "counted" in watched._next


async def test_the_app_asks_too() -> None:
    run = send("in-the-app")
    answer(run, status="unreachable", reason="Connection refused", seen=time.time(), since=time.time())
    async with CodexApp(run).run_test() as pilot:
        await until_shown(pilot, lambda: run.read_engine() == FakeEngine.answers[run.name])
        await until_shown(pilot, lambda: "unreachable" in screen_text(pilot.app))


async def test_a_resume_in_the_app_says_who_is_asked() -> None:
    run = send("resumed-from-the-app")
    run.write_engine(answer(run, status="gone", seen=time.time()))
    FakeEngine.answers.clear()
    async with CodexApp(run).run_test() as pilot:
        await until_shown(pilot, lambda: "lost" in screen_text(pilot.app))
        await pilot.press("r")
        await until_shown(pilot, lambda: list(pilot.app._notifications))
        [first, *_] = pilot.app._notifications
        assert first.message == "Asking box to resume the run …"
