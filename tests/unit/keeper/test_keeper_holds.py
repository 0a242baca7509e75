"""The keeper holds a run: it parks, waits, resumes and ends, and no request is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disks import fill, mounted
from support.kept_runs import keep, make_run, until
from support.programs import PROGRAMS

from codex_tui.runs.follower import snapshot
from training.contract import events as ev
from training.contract.control import Request
from training.contract.end_event import read_end_event
from training.contract.process import Exit
from training.contract.run_directory import RunDirectory
from training.keeper.decisions import AttemptEnd, Finish, Heal, Next, decide
from training.keeper.watchers import Hold, Restart


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return make_run(tmp_path / "run")


@pytest.fixture
def keeper(run: RunDirectory) -> Iterator[subprocess.Popen[bytes]]:
    with keep(run, sys.executable, PROGRAMS / "parking_trainer.py", run.path) as process:
        until(lambda: snapshot(run).status == "training")
        yield process


def park(run: RunDirectory, reason: str = "Asked with L.") -> None:
    run.request_stop("park", reason)
    until(lambda: snapshot(run).status == "parked")


def test_a_parked_run_has_no_trainer_and_resumes_where_it_was(
    run: RunDirectory, keeper: subprocess.Popen[bytes]
) -> None:
    for attempt in range(1, 4):
        trainer = run.read_process()
        assert trainer and trainer.attempt == attempt
        park(run)
        assert not trainer.is_alive()
        watched = snapshot(run)
        assert watched.held is not None and not watched.ended
        assert (watched.held.reason, watched.held.ends) == ("Asked with L.", ev.BY_HAND)
        assert watched.held.step == watched.state.step > 0
        until(lambda: run.read_request() is None)
        run.write_request(Request("resume"))
        until(lambda: snapshot(run).status == "training")
        assert snapshot(run).state.resume_step == watched.held.step
    assert snapshot(run).state.missing_events == 0
    assert run.log.read_text() == ""  # the keeper's own output goes where the launcher leads it


def test_a_keeper_gives_signs_for_other_machines(run: RunDirectory) -> None:
    run.keeper_lock.touch()
    os.utime(run.keeper_lock, (1.0, 1.0))
    with subprocess.Popen([sys.executable, PROGRAMS / "parking_trainer.py", run.path]) as process:
        until(lambda: run.keeper_lock.stat().st_mtime > 1.0)
        until(lambda: snapshot(run).status == "training")
        run.request_stop("terminate")
        process.wait()


def test_a_resume_that_comes_before_the_park_has_finished_is_not_lost(
    run: RunDirectory, keeper: subprocess.Popen[bytes]
) -> None:
    trainer = run.read_process()
    assert trainer is not None
    os.kill(keeper.pid, signal.SIGSTOP)
    run.request_stop("park")
    until(lambda: not run.is_trainer_alive())
    run.write_request(Request("resume"))
    os.kill(keeper.pid, signal.SIGCONT)
    until(lambda: (process := run.read_process()) and process.attempt == 2)
    until(lambda: snapshot(run).status == "training")


@pytest.mark.parametrize("word", ["save", "terminate", "SIGTERM"])
def test_a_stop_ends_a_parked_run_at_once(run: RunDirectory, keeper: subprocess.Popen[bytes], word: str) -> None:
    park(run)
    step = snapshot(run).state.step
    if word == "SIGTERM":
        keeper.terminate()
    else:
        run.request_stop("save" if word == "save" else "terminate")
    assert keeper.wait() == 0
    watched = snapshot(run)
    assert (watched.status, watched.liveness, watched.state.step) == ("stopped", "ended", step)
    assert not run.keeper.exists()


STOPPED_AT_ITS_START = """
import os, signal, sys
from pathlib import Path
from training.keeper.keeper import keep

class Ender:
    seconds = 1.0
    def look(self, moment):
        if moment.trainer is None:
            os.kill(os.getpid(), signal.SIGTERM)

sys.exit(keep(Path(sys.argv[1]), (sys.executable, "-c", "import time; time.sleep(600)"), lambda run, config: [Ender()]))
"""


def test_a_sigterm_right_before_the_start_of_a_trainer_is_not_lost(run: RunDirectory) -> None:
    done = subprocess.run([sys.executable, "-c", STOPPED_AT_ITS_START, run.path], check=False, timeout=100)
    assert done.returncode == 128 + signal.SIGTERM


def test_a_parked_run_whose_keeper_was_killed_is_lost(run: RunDirectory, keeper: subprocess.Popen[bytes]) -> None:
    park(run)
    keeper.kill()
    keeper.wait()
    watched = snapshot(run)
    assert watched.status == "lost"
    assert watched.reason == f"It was parked at step {watched.state.step}, and its keeper is gone."
    assert watched.leftovers.resume_step is not None


def test_the_keeper_of_a_killed_trainer_ends_the_run_as_lost(
    run: RunDirectory, keeper: subprocess.Popen[bytes]
) -> None:
    trainer = run.read_process()
    assert trainer is not None
    os.kill(trainer.pid, signal.SIGKILL)
    assert keeper.wait() == 128 + signal.SIGKILL
    watched = snapshot(run)
    assert watched.status == "lost"
    assert "by SIGKILL" in watched.reason


def test_a_returned_trainer_that_is_killed_at_once_leaves_the_run_lost_and_not_parked(
    run: RunDirectory, keeper: subprocess.Popen[bytes]
) -> None:
    park(run)
    run.write_request(Request("resume"))
    until(lambda: (process := run.read_process()) and process.attempt == 2)
    trainer = run.read_process()
    assert trainer is not None
    os.kill(trainer.pid, signal.SIGKILL)
    assert keeper.wait() == 128 + signal.SIGKILL
    assert snapshot(run).status == "lost"


def test_a_run_that_is_renamed_while_it_is_parked_goes_on(run: RunDirectory, keeper: subprocess.Popen[bytes]) -> None:
    park(run)
    renamed = RunDirectory(run.path.rename(run.path.with_name("renamed")))
    renamed.write_request(Request("resume"))
    until(lambda: snapshot(renamed).status == "training")
    assert not run.path.exists()
    renamed.request_stop("terminate")
    assert keeper.wait() == 0


def test_the_keeper_of_a_deleted_run_ends(run: RunDirectory, keeper: subprocess.Popen[bytes]) -> None:
    park(run)
    until(run.reserve.exists)  # the keeper writes no more
    subprocess.run(["rm", "-r", run.path], check=True)
    assert keeper.wait() == 0
    assert not run.path.exists()


def test_a_parked_run_on_a_full_disk_still_records_its_end(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", "size=2m") as disk:
        run = make_run(disk / "run")
        with subprocess.Popen([sys.executable, PROGRAMS / "parking_trainer.py", run.path]) as keeper:
            until(lambda: snapshot(run).status == "training")
            park(run)
            until(run.reserve.exists)
            fill(disk)
            keeper.terminate()  # as at a shutdown
        assert (keeper.returncode, snapshot(run).status) == (0, "stopped")
        assert not run.reserve.exists() and not run.keeper.exists()


def test_a_second_keeper_is_refused(run: RunDirectory, keeper: subprocess.Popen[bytes]) -> None:
    second = [sys.executable, PROGRAMS / "parking_trainer.py", run.path]
    for parked in (False, True):
        if parked:
            park(run)
        refused = subprocess.run(second, capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        assert "another process is training this run" in refused.stderr
        identity = run.read_keeper()
        assert identity is not None and identity.pid == keeper.pid


PARKED = ev.Held(state="parked", reason="Asked with L.", step=7)
RULE = Hold("parked", "blender uses the card.", "blender ends")


@pytest.mark.parametrize(
    ("event", "request_", "ruled", "decision"),
    [
        (ev.Done(step=9), None, None, Finish()),
        (ev.Done(step=9), Request("park"), None, Finish()),
        (ev.Failed(kind="unknown", message="m"), Request("park"), None, Finish()),
        (None, None, None, Finish()),
        (PARKED, Request("park", "Asked with L."), None, Next(Hold("parked", "Asked with L.", ev.BY_HAND))),
        (PARKED, None, None, Next(Hold("parked", "Asked with L.", ev.BY_HAND))),
        (PARKED, Request("resume"), None, Next()),
        (PARKED, Request("park", RULE.reason), RULE, Next()),
        (PARKED, Request("park", "Asked with L."), RULE, Next(Hold("parked", "Asked with L.", ev.BY_HAND))),
    ],
)
def test_what_comes_after_an_attempt(
    event: ev.Done | ev.Failed | ev.Held | None, request_: Request | None, ruled: Hold | None, decision: object
) -> None:
    assert decide(AttemptEnd(1, event, Exit(1), ruled), request_) == decision


def test_a_stop_that_comes_after_the_park_ends_the_run() -> None:
    decision = decide(AttemptEnd(1, PARKED, Exit(1)), Request("save"))
    assert isinstance(decision, Finish) and isinstance(decision.event, ev.Stopped)
    assert (decision.event.step, decision.event.resumable) == (7, True)


def test_a_rule_whose_reason_names_a_strange_program_still_brings_the_run_back(run: RunDirectory) -> None:
    ruled = Hold("parked", f"My  Game {'x' * 400} holds 2,000 MiB of the card.")
    run.request_stop("park", ruled.reason)
    assert decide(AttemptEnd(1, PARKED, Exit(1), ruled), run.read_request()) == Next()


def test_a_trainer_that_a_watcher_ended_starts_again_unless_a_stop_was_asked_for() -> None:
    end = AttemptEnd(1, None, Exit(1, None, "SIGKILL"), None, Restart("It hangs."))
    assert decide(end, None) == Heal("It hangs.")
    assert decide(end, Request("save")) == Finish()


def test_a_trainer_that_found_no_memory_may_be_healed_unless_a_stop_was_asked_for() -> None:
    end = AttemptEnd(1, ev.Failed(kind="gpu_memory", message="No memory."), Exit(1))
    assert decide(end, None) == decide(end, Request("park")) == Heal("No memory.")
    assert decide(end, Request("terminate")) == Finish()


def test_the_last_event_of_an_earlier_attempt_is_not_of_this_one(run: RunDirectory) -> None:
    lines = ['{"type":"done","step":3}', '{"type":"heartbeat"}', '{"type":"new kind"}']
    run.events.write_text("\n".join(lines) + "\n")
    event = read_end_event(run.events, 0)
    assert isinstance(event, ev.Done) and event.step == 3
    with run.events.open("a") as file:
        file.write('{"type":"started","attempt":2,"pid":1}\n{"type":"metr')
    assert read_end_event(run.events, 0) is None


def test_a_trainer_that_was_killed_before_its_first_event_has_no_last_event(run: RunDirectory) -> None:
    run.events.write_text('{"type":"held","state":"parked","reason":"You lent the card.","step":2}\n')
    assert isinstance(read_end_event(run.events, 0), ev.Held)
    assert read_end_event(run.events, run.events.stat().st_size) is None
    assert isinstance(read_end_event(run.events, 10_000), ev.Held)  # another file has taken its place
