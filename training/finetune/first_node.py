"""Trains a run with several ranks: runs those of this machine, starts the other nodes, and records how all ended.

This process is the run's trainer to everyone outside. It trains nothing itself. The ranks end with it on all nodes,
even if it is killed: the kernel ends those of this machine, and the others read the end of their stdin; see
`other_node`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress

import psutil

from training.contract import events as ev
from training.contract.config import ConfigError, RunConfig
from training.contract.end_event import read_end_event
from training.contract.event_writer import EventWriter
from training.contract.failures import TrainingFailure
from training.contract.process import ProcessIdentity, count_oom_kills, die_with_parent
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.finetune import checkpoints
from training.finetune.attempt import choose_number
from training.finetune.nodes import Rendezvous, find_nodes, make_rendezvous
from training.finetune.other_nodes import OtherNodes
from training.finetune.torchrun import explain, run_ranks

POLL_SECONDS = 0.5
BROKEN_SECONDS = 10.0
"""A node that has been silent for so long explains why a rank of another node has failed."""
SLURM_SECONDS = 600.0  # in which Slurm notices that a node is down; by default it takes 300
END_SECONDS = 30.0  # in which killed ranks must have ended
NO_RANKS = ev.Failed(kind="unknown", message="torchrun has ended without its ranks.", hint="See the log.")


def read_profile(run: RunDirectory) -> Profile | None:
    """Read the profile of `run`; None if it can't be read, which the trainer reports."""
    try:
        return RunConfig.read_with_profile(run.config)[1]
    except ConfigError:
        return None


def train(run: RunDirectory, profile: Profile) -> int:
    """Train `run` with the ranks that its profile asks for. The caller holds the run's lock. Returns 0 if it was
    finished or stopped."""
    run.write_process(ProcessIdentity.current(choose_number(run, os.getpid())))
    die_with_parent(False)
    for number in (signal.SIGINT, signal.SIGHUP):  # a closed terminal is no stop request
        signal.signal(number, signal.SIG_IGN)
    end = End(run)
    try:
        rendezvous = Rendezvous()
        if profile.launch.nodes > 1:
            nodes = find_nodes(profile.launch.nodes)
            rendezvous = make_rendezvous(nodes)
            end.others.start(run, nodes, rendezvous, profile.processes)
        failures = run_ranks(run, profile.processes, rendezvous)
    except TrainingFailure as failure:
        return end.record(ev.Failed(kind=failure.kind, message=failure.message, hint=failure.hint))
    return end.record(explain(run, profile, failures, rendezvous, ran_out=end.ran_out()))


class End:
    """Ends everything that is left of an attempt, and records how it ended, once. `others` are its other nodes."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._folder = os.open(run.path, os.O_RDONLY | os.O_CLOEXEC)  # by which it is found again if someone renames it
        self._start = run.count_event_bytes()
        self._oom_kills_before = count_oom_kills()
        self._ending = threading.Lock()
        self._is_asked = False
        self._signals, wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)  # torchrun's handler only raises an error
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        self.others = OtherNodes(self.record_loss)

    def ran_out(self) -> bool:
        """Return whether the kernel has killed a process of this machine for lack of memory meanwhile."""
        return count_oom_kills() > self._oom_kills_before

    def record(self, failed: ev.Failed | None) -> int:
        """Record the end, with `failed` if no rank has recorded one; None: the ranks were asked to end. Returns the
        exit code of the attempt."""
        self._ending.acquire()  # for good: who comes later waits for the end of this process
        self.others.is_ending = True
        self._kill_ranks()
        end: ev.Event | None = read_end_event(self._locate_run().events, self._start)
        if end:
            self.others.end()
        else:
            end = failed or (self._make_stop_event() if self._was_asked() else NO_RANKS)
            if silent := self.others.find_silent(BROKEN_SECONDS):
                end = self._wait_for_slurm(silent)
            self.others.end()
            EventWriter(self._locate_run().events).emit(end)
        return 1 if isinstance(end, ev.Failed) else 0

    def record_loss(self, failed: ev.Failed | None) -> None:
        """Record that another node has failed, and end this process. Another thread may wait in a library, for ever."""
        if self._was_asked():  # Slurm takes the nodes away: it has sent SIGTERM to everything, also to the other nodes
            failed = None
        code = 1
        with suppress(OSError):
            code = self.record(failed)
        os._exit(code)

    def _was_asked(self) -> bool:
        """Return whether this process has received SIGTERM."""
        with suppress(BlockingIOError):
            self._is_asked |= signal.SIGTERM in os.read(self._signals, 64)
        return self._is_asked

    def _make_stop_event(self) -> ev.Stopped:
        last = checkpoints.find_last_whole(self._locate_run().checkpoints, thorough=False)
        return ev.Stopped(step=checkpoints.parse_step(last) if last else 0, resumable=last is not None)

    def _locate_run(self) -> RunDirectory:
        return RunDirectory.locate(self._folder) or self._run

    def _wait_for_slurm(self, node: str) -> ev.Failed | ev.Stopped:
        """Wait until Slurm has noticed that `node` is down. It then ends this process, and starts the job again if it
        may. Returns the event to record if it only asks for the end, as a person may, or if nothing happens."""
        with suppress(OSError):
            message = f"Node {node} does not answer. The run has ended its processes, and waits for Slurm to notice it."
            EventWriter(self._locate_run().events).emit(ev.Warned(message=message))
        deadline = time.monotonic() + SLURM_SECONDS
        while time.monotonic() < deadline:
            if self._was_asked() or self._locate_run().read_stop_request() in ("save", "terminate"):
                return self._make_stop_event()
            time.sleep(POLL_SECONDS)
        return ev.Failed(
            kind="unknown",
            message=f"Node {node} does not answer.",
            hint="Resume the run to go on from its last checkpoint.",
        )

    def _kill_ranks(self) -> None:
        """Kill the ranks of this machine that are left. They must write no event after the last one."""
        with suppress(psutil.Error):
            ranks = [each for each in psutil.Process().children() if each.pid not in self.others.pids]
            for rank in ranks:
                with suppress(psutil.Error):
                    rank.kill()
            psutil.wait_procs(ranks, END_SECONDS)
