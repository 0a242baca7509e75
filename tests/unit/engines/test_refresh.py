"""The engine of an unfinished run is asked once, and RUN/engine.json has what it answers."""

from __future__ import annotations

import threading
import time

import msgspec
import pytest
from support.fake_engine import FakeEngine, answer, send, use_fake_engine
from support.fake_runs import make_run

from codex_tui.cli import main
from codex_tui.engines.refresh import WRITE_SECONDS, refresh, refresh_all
from codex_tui.runs.library import list_engine_runs
from training.contract.engine import EngineRecord
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.fixture(autouse=True)
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_engine(monkeypatch)


def test_a_changed_answer_is_written_at_once_and_the_same_one_seldom() -> None:
    run = send("changing", status="waiting")
    running = answer(run, status="running", seen=2.0)
    assert refresh(run) == running == run.read_engine()
    answer(run, seen=3.0)
    assert refresh(run) == running == run.read_engine()
    later = answer(run, seen=2.0 + WRITE_SECONDS)
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


def test_the_list_of_runs_asks_first(capsys: pytest.CaptureFixture[str]) -> None:
    run = send("cancelled")
    answer(run, status="gone", reason="somebody cancelled it", seen=time.time())
    assert main(["runs", "--json"]) == 0
    assert '"state": "lost"' in capsys.readouterr().out
