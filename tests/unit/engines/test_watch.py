"""The engines of unfinished runs are asked, in threads, and RUN/engine.json has what they answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import msgspec
import pytest
from support.fake_engine import FakeEngine, use_fake_engine
from support.fake_runs import make_run
from support.pilot import screen_text
from support.pilot import until as until_shown

from codex_tui.cli import main
from codex_tui.engines import watch
from codex_tui.engines.watch import (
    OTHER_SECONDS,
    SELDOM_SECONDS,
    SHOWN_SECONDS,
    EngineWatch,
    choose_pause,
    refresh,
    refresh_all,
)
from codex_tui.runs.library import list_engine_runs
from codex_tui.ui.app import CodexApp
from training.contract import events as ev
from training.contract.engine import EngineRecord, EngineStatus
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.fixture(autouse=True)
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_engine(monkeypatch)


def send(name: str, *, status: EngineStatus = "running") -> RunDirectory:
    """A run that box trains."""
    run = make_run(name, ev.Started(attempt=1, pid=7))
    run.write_engine(EngineRecord("ssh", host="box", status=status, submitted=1.0, seen=1.0, since=1.0))
    return run


def answer(run: RunDirectory, **changes: object) -> EngineRecord:
    """Let the engine answer with these changes of what is known."""
    record = run.read_engine()
    assert record
    FakeEngine.answers[run.name] = msgspec.structs.replace(record, **changes)
    return FakeEngine.answers[run.name]


def until(reached: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def test_a_changed_answer_is_written_at_once_and_the_same_one_seldom() -> None:
    run = send("changing", status="waiting")
    running = answer(run, status="running", seen=2.0)
    assert refresh(run) == running == run.read_engine()
    answer(run, seen=3.0)
    assert refresh(run) == running == run.read_engine()
    later = answer(run, seen=2.0 + watch.WRITE_SECONDS)
    assert refresh(run) == later == run.read_engine()


def test_an_answer_about_an_earlier_job_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    run = send("again")
    again = EngineRecord("ssh", host="box", submitted=2.0, attempt=2)

    def look(self: FakeEngine, run: RunDirectory) -> EngineRecord:
        before = run.read_engine()
        assert before
        run.write_engine(again)  # by another program that resumes it
        return msgspec.structs.replace(before, status="gone")

    monkeypatch.setattr(FakeEngine, "look", look)
    assert refresh(run) == again == run.read_engine()


def test_an_answer_never_replaces_what_another_program_wrote_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    run = send("submitting")
    before = run.read_engine()
    assert before
    with_job = msgspec.structs.replace(before, job="7")

    def look(self: FakeEngine, run: RunDirectory) -> EngineRecord:
        run.write_engine(with_job)  # by the program that submits it, which has its job now
        return msgspec.structs.replace(before, status="waiting")

    monkeypatch.setattr(FakeEngine, "look", look)
    assert refresh(run) == with_job == run.read_engine()


def test_only_runs_that_an_engine_has_are_asked_for() -> None:
    make_run("local")
    send("gone", status="gone")
    damaged = send("damaged")
    damaged.engine.write_text("{")
    running, silent = send("running"), send("silent", status="unreachable")
    ended = send("ended")
    answer(ended, status="gone")
    assert {run.name for run in list_engine_runs()} == {"running", "silent", "ended"}
    refresh_all([running, silent, ended], 60)
    assert {run.name for run in list_engine_runs()} == {"running", "silent"}
    assert damaged.engine.read_text() == "{"


def test_an_engine_that_does_not_answer_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    silent, quick = send("silent"), send("quick")
    answer(quick, status="gone")
    release = threading.Event()

    def fetch(self: FakeEngine, run: RunDirectory) -> bool:
        return run.name == "silent" and release.wait(60)

    monkeypatch.setattr(FakeEngine, "fetch", fetch)
    began = time.monotonic()
    refresh_all([silent, quick], 1.0)
    assert time.monotonic() - began < 30
    record = quick.read_engine()
    assert record and record.status == "gone"
    release.set()


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


def test_the_list_of_runs_asks_first(capsys: pytest.CaptureFixture[str]) -> None:
    run = send("cancelled")
    answer(run, status="gone", reason="somebody cancelled it", seen=time.time())
    assert main(["runs", "--json"]) == 0
    assert '"state": "lost"' in capsys.readouterr().out


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
