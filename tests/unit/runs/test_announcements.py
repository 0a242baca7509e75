"""Each event of a run is announced once: done, failed, lost and paused, to every viewer, with one command in all."""

from __future__ import annotations

import os
import shutil
import sys
import time
from subprocess import PIPE, Popen

import pytest
from support.engine_runs import put_on_box, put_on_slurm
from support.fake_runs import make_run
from support.programs import PROGRAMS

from codex_tui.runs.announced import claim, has_seen_end
from codex_tui.runs.announcements import CUT_SECONDS, Announcement, Announcer
from codex_tui.runs.follower import RunFollower
from training.contract import events as ev
from training.contract.event_writer import EventWriter
from training.contract.loan import CHAT_ENDS, CHAT_REASON
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("empty_home")
STARTED, METRICS = ev.Started(attempt=1, pid=1), ev.Metrics(step=2, loss=1.0)
RESOLVED = ev.Resolved(total_steps=9, steps_per_epoch=9, train_rows=3, eval_rows=0)


class Viewer:
    def __init__(self, run: RunDirectory) -> None:
        self.follower = RunFollower(run, check_every=0.0)
        self.announcer = Announcer(run)

    def look(self) -> Announcement | None:
        self.follower.poll(60.0)
        return self.announcer.find_new(self.follower.watched)


def append(run: RunDirectory, *events: ev.Event) -> None:
    writer = EventWriter(run.events)
    for event in events:
        writer.emit(event)
    writer.close()


def test_the_end_is_announced_to_each_viewer_and_first_to_one() -> None:
    run = make_run("a", STARTED, RESOLVED, METRICS, alive=True)
    viewers = [Viewer(run), Viewer(run)]
    assert [viewer.look() for viewer in viewers] == [None, None]
    append(run, ev.Eval(step=9, eval_loss=0.25), ev.Done(step=9))
    one, other = (viewer.look() for viewer in viewers)
    assert one is not None and other is not None
    assert (one.title, one.event) == ("a is done", "done")
    assert one.message.endswith("Eval loss 0.2500.")
    assert one.facts["step"] == one.facts["total_steps"] == "9"
    assert one.facts["directory"] == str(run.path)
    assert (one.first, other.first) == (True, False)
    assert [viewer.look() for viewer in viewers] == [None, None]


def test_a_failure_and_a_lost_run_are_announced_with_their_reason() -> None:
    run = make_run("a", STARTED, METRICS, alive=True)
    viewer = Viewer(run)
    viewer.look()
    append(run, ev.Failed(kind="unknown", message="It \x1b[2J broke.\nTwice."))
    failed = viewer.look()
    assert failed is not None
    assert (failed.title, failed.message) == ("a failed", "It ␛[2J broke.↵Twice.")

    lost = make_run("b", STARTED, ev.Phase(name="training"), METRICS, alive=True)
    viewer = Viewer(lost)
    viewer.look()
    lost.write_process(ProcessIdentity(999_999, 1.0))
    announcement = viewer.look()
    assert announcement is not None
    assert (announcement.title, announcement.event) == ("b was lost", "lost")
    assert "at step 2" in announcement.message


def test_a_pause_is_announced_once_for_each_pause() -> None:
    run = make_run("a", STARTED, METRICS, alive=True)
    viewer = Viewer(run)
    viewer.look()
    cooling = [ev.Phase(name="cooling", detail=f"{celsius} °C, continues at 79 °C") for celsius in (90, 85)]
    append(run, cooling[0])
    paused = viewer.look()
    assert paused is not None
    assert (paused.title, paused.message) == ("a is paused", "The GPU is too hot (90 °C, continues at 79 °C).")
    append(run, cooling[1])
    assert viewer.look() is None
    append(run, ev.Phase(name="training"), ev.Metrics(step=3, loss=1.0))
    assert viewer.look() is None
    append(run, ev.Phase(name="cooling"))
    again = viewer.look()
    assert again is not None and again.first


def test_a_cut_link_is_announced_when_it_lasts_and_again_for_each_cut() -> None:
    run = make_run("a", STARTED, RESOLVED, METRICS)
    put_on_box(run, "running")
    viewer = Viewer(run)
    viewer.look()
    record = put_on_box(run, "unreachable", reason="Connection timed out")
    assert viewer.look() is None  # it may be back in a moment
    put_on_box(run, "unreachable", reason=record.reason, seen=record.seen, since=record.since - CUT_SECONDS)
    announcement = viewer.look()
    assert announcement is not None and announcement.first
    assert (announcement.title, announcement.event, announcement.is_urgent) == (
        "a is unreachable",
        "unreachable",
        False,
    )
    assert announcement.message.startswith("No answer from box since ")
    assert viewer.look() is None
    put_on_box(run, "running")
    assert viewer.look() is None
    put_on_box(run, "unreachable", since=record.since - 9 * CUT_SECONDS)
    again = viewer.look()
    assert again is not None and again.first


def test_a_run_that_waits_for_its_engine_again_is_announced_with_the_reason() -> None:
    run = make_run("a", STARTED, RESOLVED, METRICS)
    put_on_slurm(run, "waiting", reason="no node with enough free resources")
    viewer = Viewer(run)
    assert viewer.look() is None  # the person has just sent it there
    put_on_slurm(run, "running")
    assert viewer.look() is None
    put_on_slurm(run, "waiting", reason="other jobs come first", since=time.time() + 1)
    waiting = viewer.look()
    assert waiting is not None
    assert (waiting.title, waiting.message) == (
        "a is waiting",
        "Slurm: other jobs come first. Slurm starts it by itself.",
    )


def test_a_stop_on_request_is_not_announced() -> None:
    run = make_run("a", STARTED, METRICS, alive=True)
    viewer = Viewer(run)
    viewer.look()
    append(run, ev.Stopped(step=2))
    assert viewer.look() is None


def test_what_the_keeper_does_is_announced_once_and_what_a_person_did_is_not() -> None:
    run = make_run("a", STARTED, METRICS, alive=True)
    run.write_keeper(ProcessIdentity.current())
    viewer = Viewer(run)
    viewer.look()

    def hold(reason: str, ends: str = "When it is free.", state: ev.HeldState = "parked") -> Announcement | None:
        run.write_process(ProcessIdentity(999_999, 1.0))
        append(run, ev.Held(state=state, reason=reason, ends=ends, step=2))
        return viewer.look()

    def resume(*events: ev.Event) -> Announcement | None:
        run.write_process(ProcessIdentity.current(attempt=2))
        append(run, *events, ev.Started(attempt=2, pid=1, resume_step=2), ev.Metrics(step=3, loss=1.0))
        return viewer.look()

    assert hold("Asked with L.", ev.BY_HAND) is None
    assert hold(CHAT_REASON, CHAT_ENDS) is None
    parked = hold("blender uses 2,100 MiB.")
    assert parked is not None and parked.first
    assert (parked.title, parked.message) == ("a is parked", "blender uses 2,100 MiB. When it is free.")
    assert hold("blender uses 2,200 MiB.") is None  # the same park
    waiting = hold("The driver is gone.", state="waiting")
    assert waiting is not None and waiting.title == "a is waiting"
    changes = {"training.loss_tile_mib": (256, 64)}
    healed = resume(ev.Healed(kind="gpu_memory", reason="No memory for row 7.", step=2, failed_step=3, changes=changes))
    assert healed is not None and healed.first
    assert healed.title == "a was healed"
    assert healed.message.startswith("No memory for row 7. The run continues from step 2 with training.loss_tile_mib")
    assert healed.summary == "The GPU ran out of memory, at step 3. It goes on from step 2: loss_tile_mib 256 → 64."
    assert viewer.look() is None
    assert Viewer(run).look() is None  # a viewer that comes later has nothing to announce


def test_an_old_end_is_not_announced_and_one_since_the_viewer_started_is() -> None:
    old = make_run("old", STARTED, ev.Done(step=1))
    for path in (old.events, old.process):
        os.utime(path, (time.time() - 9e6,) * 2)
    assert Viewer(old).look() is None
    assert Viewer(make_run("quick", STARTED, ev.Failed(kind="unknown", message="No."))).look() is not None


def test_a_second_attempt_is_announced_anew() -> None:
    run = make_run("a", STARTED, ev.Failed(kind="unknown", message="No."))
    first = Viewer(run).look()
    run.write_process(ProcessIdentity(os.getpid(), 1.0, attempt=2))
    append(run, ev.Started(attempt=2, pid=1), ev.Done(step=1))
    second = Viewer(run).look()
    assert first and second and first.first and second.first


def test_of_many_processes_one_is_first() -> None:
    run = make_run("a", STARTED, ev.Done(step=1))
    command = [sys.executable, PROGRAMS / "claim_end.py", run.path]
    viewers = [Popen(command, stdin=PIPE, stdout=PIPE, text=True) for _ in range(6)]
    for viewer in viewers:
        assert viewer.stdout and viewer.stdout.readline() == "ready\n"
    for viewer in viewers:
        assert viewer.stdin
        viewer.stdin.close()
    answers = [viewer.stdout.read().strip() for viewer in viewers if viewer.stdout]
    assert sorted(answers) == ["False"] * 5 + ["True"]
    assert [viewer.wait() for viewer in viewers] == [0] * 6


def test_an_end_is_seen_once_a_screen_has_shown_it(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("a", STARTED, ev.Done(step=1))
    assert not has_seen_end(run)
    assert claim(run, "seen")
    assert has_seen_end(run)
    run.write_process(ProcessIdentity(os.getpid(), 1.0, attempt=2))
    assert not has_seen_end(run)


def test_a_run_that_cant_be_written_is_never_claimed() -> None:
    run = make_run("a", STARTED, ev.Done(step=1))
    run.announced.mkdir()
    assert not claim(run, "done")
    assert not has_seen_end(run)
    shutil.rmtree(run.path)
    assert not claim(run, "done")
