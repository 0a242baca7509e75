"""A run that another machine trains, in a folder that both share: only its files tell whether it lives."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

import msgspec
import pytest
from support.fake_runs import make_run

from codex_tui import launcher, stopping
from codex_tui.base.errors import BadInput
from codex_tui.runs.follower import snapshot
from training.contract import events as ev
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.contract.signs import SILENT_SECONDS

pytestmark = pytest.mark.usefixtures("empty_home")

BOX = ProcessIdentity(os.getpid(), 1.0, 1, "another-boot", "gpu-box")
STARTED = (ev.Started(attempt=1, pid=7), ev.Phase(name="training", done=40, total=100), ev.Metrics(step=40, loss=1.0))


@dataclass
class Elsewhere:
    run: RunDirectory

    def sign(self, *, trainer: float, keeper: float) -> None:
        """Let trainer and keeper have given their last signs so many seconds ago."""
        for path, age in ((self.run.events, trainer), (self.run.keeper_lock, keeper)):
            os.utime(path, (time.time() - age,) * 2)

    @property
    def status(self) -> str:
        return snapshot(self.run).status


def keep(name: str, *events: ev.Event) -> Elsewhere:
    run = make_run(name, *events)
    run.write_process(BOX)
    run.write_keeper(BOX)
    run.keeper_lock.touch()
    return Elsewhere(run)


def test_it_trains_while_it_writes_and_is_lost_when_it_is_silent() -> None:
    other = keep("far", *STARTED)
    other.sign(trainer=5, keeper=10)
    assert other.status == "training" and other.run.is_live() and other.run.find_host() == "gpu-box"
    other.sign(trainer=SILENT_SECONDS + 5, keeper=SILENT_SECONDS + 5)
    watched = snapshot(other.run)
    assert (watched.status, watched.reason) == (
        "lost", "gpu-box, on which it trained, has given no sign for a while, after step 40.",
    )  # fmt: skip
    assert other.run.find_host() == ""


def test_it_can_not_be_trained_twice() -> None:
    other = keep("twice", *STARTED)
    other.sign(trainer=5, keeper=10)
    with pytest.raises(BadInput, match="twice is training already"):
        launcher.resume(other.run)


def test_it_is_stopped_through_the_folder_and_no_process_here_is_signalled() -> None:
    other = keep("stopped-from-here", *STARTED)  # its pid is that of this very process
    other.sign(trainer=5, keeper=10)
    assert stopping.stop(other.run) == "save" and other.run.read_stop_request() == "save"
    assert stopping.stop(other.run) == "terminate" and other.run.read_stop_request() == "terminate"
    with pytest.raises(BadInput, match="runs on gpu-box, and only that machine can kill it"):
        stopping.stop(other.run)


def test_a_parked_one_waits_while_its_keeper_gives_signs() -> None:
    held = ev.Held(state="parked", reason="You lent the card.", ends=ev.BY_HAND, step=40)
    other = keep("parked-there", *STARTED, held)
    other.sign(trainer=3600, keeper=10)
    assert other.status == "parked" and not other.run.is_trainer_alive()
    launcher.resume(other.run)
    request = other.run.read_request()
    assert request is not None and request.word == "resume"
    other.sign(trainer=3600, keeper=3600)
    watched = snapshot(other.run)
    assert (watched.status, watched.reason) == (
        "lost", "It was parked at step 40 on gpu-box, which has given no sign for a while.",
    )  # fmt: skip


def test_one_that_ended_has_ended_at_once() -> None:
    other = keep("ended-there", *STARTED, ev.Done(step=100))
    other.sign(trainer=1, keeper=1)
    other.run.keeper.unlink()
    assert other.status == "done" and not other.run.is_live()


def test_an_identity_of_before_is_of_this_machine() -> None:
    old = msgspec.json.decode(b'{"pid": 1, "create_time": 2.0, "boot": "of yesterday"}', type=ProcessIdentity)
    assert not old.is_elsewhere() and not old.is_alive()


def test_this_machine_is_not_elsewhere_after_a_restart() -> None:
    before = msgspec.structs.replace(ProcessIdentity.current(), boot="of yesterday")
    assert not before.is_elsewhere() and not before.is_alive()
