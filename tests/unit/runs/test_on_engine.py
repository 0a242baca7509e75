"""A run that an engine has: its engine.json and its events tell whether it lives, and no process of this machine."""

from __future__ import annotations

import os
import time

import msgspec
import pytest
from support.fake_engine import FakeEngine, use_fake_engine
from support.fake_runs import make_run

from codex_tui import launcher, stopping
from codex_tui.base.errors import BadInput
from codex_tui.base.text import format_moment
from codex_tui.cli import main
from codex_tui.runs import live
from codex_tui.runs.changes import delete_run, rename_run
from codex_tui.runs.engine_reason import name_place_of_run
from codex_tui.runs.follower import snapshot
from codex_tui.ui.cockpit.header import count_progress
from training.contract import events as ev
from training.contract.engine import DAMAGED, NEWS_SECONDS, EngineRecord, EngineStatus
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")


@pytest.fixture(autouse=True)
def fake_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    use_fake_engine(monkeypatch)


STARTED = (ev.Started(attempt=1, pid=7), ev.Phase(name="training", done=40, total=100), ev.Metrics(step=40, loss=1.0))


def keep(name: str, status: EngineStatus, *events: ev.Event, reason: str = "", silent: float = 300.0) -> RunDirectory:
    """A run whose last event is `silent` seconds old, and whose engine answered five seconds ago."""
    run = make_run(name, *STARTED, *events)
    run.write_process(ProcessIdentity.current())  # a process of this machine with the number of the trainer's
    now = time.time()
    os.utime(run.events, (now - silent,) * 2)
    run.write_engine(EngineRecord("ssh", host="box", status=status, reason=reason, seen=now - 5, since=now - 5))
    return run


@pytest.mark.parametrize(
    ("status", "shown", "live", "trains"),
    [
        ("running", "training", True, True),
        ("waiting", "waiting", True, False),
        ("unreachable", "unreachable", True, True),
        ("gone", "lost", False, False),
    ],
)
def test_its_engine_says_whether_it_lives(status: EngineStatus, shown: str, live: bool, trains: bool) -> None:
    run = keep(f"run-{status}", status)
    assert (snapshot(run).status, run.is_live(), run.is_trainer_alive()) == (shown, live, trains)


def test_only_a_run_with_a_step_has_figures_of_some_age() -> None:
    run = keep("trained", "unreachable")
    assert "It may be training. The figures are from " in snapshot(run).ends
    run.events.unlink()
    assert "It may be training. The last answer came at " in snapshot(run).ends


@pytest.mark.parametrize(
    ("event", "when"),
    [
        (ev.Phase(name="evaluating", done=2, total=9, unit="batches"), ", when it was evaluating."),
        (ev.Held(state="parked", reason="You lent the card.", ends=ev.BY_HAND), ", when it was parked."),
        (ev.Phase(name="training", done=40, total=100), "."),
    ],
)
def test_what_it_did_last_is_in_the_past_while_nobody_knows_whether_it_goes_on(event: ev.Event, when: str) -> None:
    run = keep("silent", "unreachable", event)
    record = run.read_engine()
    assert record
    watched = snapshot(run)
    assert watched.phase is None and count_progress(watched) == (0, None, "step 40", "")
    assert watched.ends == f"It may be training. The figures are from {format_moment(record.seen)}{when}"
    os.utime(run.events)  # an event has come since
    assert snapshot(run).phase == (None if isinstance(event, ev.Held) else event)


def test_an_event_after_the_last_answer_proves_that_it_lives() -> None:
    for status in ("waiting", "unreachable", "gone"):
        run = keep(f"news-{status}", status, silent=1.0)
        assert snapshot(run).status == "training" and run.is_live()
        later = time.time() + 2 * NEWS_SECONDS
        os.utime(run.events, (later,) * 2)  # the other machine's clock is wrong
        assert run.is_live() == (status != "gone")


def test_an_end_in_the_events_counts_whatever_the_engine_says() -> None:
    for status in ("running", "unreachable", "gone"):
        run = keep(f"done-{status}", status, ev.Done(step=100))
        assert snapshot(run).status == "done" and not run.is_live() and not run.is_kept()


def test_an_end_before_a_resume_is_that_of_the_attempt_before() -> None:
    run = keep("again", "waiting", ev.Stopped(step=40))
    record = run.read_engine()
    assert record
    run.write_engine(msgspec.structs.replace(record, attempt=2, offset=run.events.stat().st_size))
    assert snapshot(run).status == "waiting" and run.is_live()


def test_a_parked_one_has_a_keeper_and_no_trainer() -> None:
    run = keep("parked", "running", ev.Held(state="parked", reason="You lent the card.", ends=ev.BY_HAND, step=40))
    assert snapshot(run).status == "parked" and run.is_kept() and not run.is_trainer_alive()


def test_a_job_that_a_person_holds_is_known_by_a_field_and_not_by_its_reason() -> None:
    run = keep("held", "waiting", ev.Held(state="parked", reason="You lent the card.", ends=ev.BY_HAND), reason="words")
    record = run.read_engine()
    assert record and snapshot(run).status == "waiting"
    run.write_engine(msgspec.structs.replace(record, is_held=True))
    assert (snapshot(run).status, snapshot(run).reason) == ("parked", "You lent the card.")


def test_nobody_knows_of_an_unreachable_run_and_it_is_never_lost() -> None:
    run = keep("silent", "unreachable", reason="Connection timed out", silent=86_400.0)
    watched = snapshot(run)
    assert (watched.status, watched.ended) == ("unreachable", False)
    assert watched.reason.startswith("No answer from box since ")
    assert watched.reason.endswith(": Connection timed out.")
    with pytest.raises(BadInput, match=r"silent may be training\. No answer from box"):
        launcher.resume(run)
    with pytest.raises(BadInput, match="silent may be training"):
        delete_run(run)
    with pytest.raises(BadInput, match="silent may be training"):
        rename_run(run, "other")


@pytest.mark.parametrize("text", ["{", "[]", '{"engine": "slurm", "job": "--user=me"}', '{"engine": "a cloud"}'])
def test_a_damaged_record_never_starts_a_second_trainer(text: str) -> None:
    run = keep("damaged", "running")
    run.engine.write_text(text)
    with pytest.raises(BadInput, match=r"Its engine\.json is damaged"):
        launcher.resume(run)


def test_of_a_damaged_record_nobody_says_where_the_run_is() -> None:
    run = keep("damaged", "running")
    run.engine.write_text("{")
    assert name_place_of_run(run) == "another machine" and live.find_live_run() is None
    assert snapshot(run).reason == DAMAGED
    run.request_stop("terminate")
    with pytest.raises(BadInput, match=r"Its engine\.json is damaged"):
        stopping.stop(run)


def test_a_record_that_cant_be_read_never_starts_a_second_trainer() -> None:
    run = keep("stale", "running")
    run.engine.unlink()
    run.engine.symlink_to(run.engine)
    with pytest.raises(BadInput, match=r"Its engine\.json can't be read: Too many levels of symbolic links"):
        launcher.resume(run)


def test_the_reasons_of_a_lost_and_of_a_waiting_run_are_plain() -> None:
    run = keep("node", "gone", reason="its node failed")
    assert snapshot(run).reason == "It is gone from box at step 40: its node failed."
    run = keep("queued", "waiting")
    run.write_engine(EngineRecord("slurm", job="7", reason="no node with enough free resources", seen=time.time()))
    assert snapshot(run).reason == "Slurm: no node with enough free resources."


def test_requests_go_to_the_engine_and_no_process_of_this_machine_is_signalled() -> None:
    run = keep("asked", "running")
    stopping.park(run)
    assert [stopping.stop(run) for _ in range(3)] == ["save", "terminate", "kill"]
    assert [word for _, word in FakeEngine.asked] == ["park", "save", "terminate", "kill"]


def test_a_request_looks_first() -> None:
    run = keep("gone-meanwhile", "running")
    record = run.read_engine()
    assert record
    FakeEngine.answers[run.name] = msgspec.structs.replace(record, status="gone", reason="CANCELLED", seen=time.time())
    with pytest.raises(BadInput, match="is not training"):
        stopping.stop(run)
    assert run.read_engine() == FakeEngine.answers[run.name]
    assert not FakeEngine.asked


def test_the_commands_look_first_whether_a_run_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    run = keep("ended-unseen", "running")
    record = run.read_engine()
    assert record
    FakeEngine.answers[run.name] = msgspec.structs.replace(record, status="gone", reason="CANCELLED", seen=time.time())
    launcher.check_resumable(run)
    run.write_engine(record)
    assert main(["runs", "rename", run.name, "renamed"]) == 0
    renamed = RunDirectory(run.path.with_name("renamed"))
    renamed.write_engine(record)
    FakeEngine.answers["renamed"] = FakeEngine.answers[run.name]
    assert main(["runs", "rm", "renamed", "--yes"]) == 0 and not renamed.path.exists()
    capsys.readouterr()


def test_a_run_that_is_held_over_there_is_brought_back_there() -> None:
    run = keep("back", "running", ev.Held(state="parked", reason="You lent the card.", ends=ev.BY_HAND, step=40))
    assert launcher.resume(run).step == 40
    assert FakeEngine.asked == [("back", "resume")]
