"""One attempt at a run, as the rest of the trainer sees it: its directory, events, stop requests and last words."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress

from training.contract import events as ev
from training.contract import files
from training.contract.log import bound
from training.contract.process import ProcessIdentity, die_with_parent
from training.contract.run_directory import RunDirectory
from training.finetune import checkpoints
from training.finetune.stop import StopRequests

HEARTBEAT_SECONDS = 5.0
RESERVED_BYTES = 256 * 1024
LOADING_PARTS = 3  # Unsloth, the model, the adapter


class Attempt:
    """What sft.py needs of the process around it: the run, its events and the stop requests.

    `step` is the last finished step; `resume_from` the whole checkpoint to go on from, or None.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.number = _number(run)
        self._set_aside = checkpoints.set_aside_broken(run.checkpoints)  # reads them all, once: what is left is whole
        self.resume_from = next(reversed(checkpoints.found_in(run.checkpoints)), None)
        self.step = checkpoints.step_of(self.resume_from) if self.resume_from else 0
        self.events = ev.EventWriter(run.events)
        self.stop = StopRequests(run, self._terminate)
        self._parent = os.getppid()
        self._folder = os.open(run.path, os.O_RDONLY | os.O_CLOEXEC)
        self._ended = threading.Event()
        self._ending = threading.Lock()

    def begin(self) -> None:
        files.clear_unfinished(self.run.path)
        self._keep_room()
        identity = ProcessIdentity.current(self.number)
        # psutil's create time is up to a second early, since the kernel tells the boot's in whole seconds.
        born = time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - identity.create_time)
        if self.run.control.exists() and self.run.control.stat().st_mtime < born:
            self.run.clear_stop()  # it was meant for an earlier attempt
        self.run.write_process(identity)
        die_with_parent(False)
        self._identity = identity
        self.events.emit(ev.Started(attempt=self.number, pid=identity.pid, resume_step=self.step))
        goes_on = f"The run goes on from step {self.step:,}." if self.step else "The run begins anew."
        for step, file, name in self._set_aside:
            self.warn(f"The checkpoint of step {step:,} is damaged ({file}): set aside as {name}. {goes_on}")
        self.stop.watch()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def warn(self, message: str) -> None:
        self.events.emit(ev.Warned(message=message))

    def report_loading(self, part: str, done: int) -> None:
        """Emit that `part` is being loaded now and that `done` parts are loaded already."""
        self.events.emit(ev.Phase(name="loading", detail=part, done=done, total=LOADING_PARTS, unit="parts"))

    def end(self, event: ev.Event) -> None:
        """Emits the attempt's last event, unless another thread has done so."""
        with self._ending:
            if not self._ended.is_set():
                self._ended.set()
                self.stop.end()
                self.run.reserve.unlink(missing_ok=True)
                self.events.emit(event)

    def _keep_room(self) -> None:
        """Where the disk fills up, the last event still finds a place: that of this file, which goes first."""
        with suppress(OSError), self.run.reserve.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVED_BYTES)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            if self._is_gone():
                complain(f"{self.run.path} is gone: nobody could watch or resume what is trained.")
                os._exit(1)
            with suppress(OSError):  # a full disk: the next step tells
                self.events.emit(ev.Heartbeat())
                if self.run.read_process() != self._identity:  # the launcher may have had its say later than we
                    self.run.write_process(self._identity)
                if os.getppid() != self._parent:  # the supervisor was killed, and nobody else looks after the log
                    bound(self.run.log)

    def _is_gone(self) -> bool:
        """Whether the run's directory was moved or deleted, if only in part: we may have written into it meanwhile."""
        try:
            moved = not os.path.samestat(os.fstat(self._folder), self.run.path.stat())
        except FileNotFoundError:
            return True
        return moved or not (self.run.config.exists() or self.run.lock.exists())

    def _terminate(self) -> None:
        resumable = checkpoints.last_whole(self.run.checkpoints, thorough=False) is not None  # it is to end at once
        self.end(ev.Stopped(step=self.step, resumable=resumable))
        os._exit(0)


def _number(run: RunDirectory) -> int:
    """This attempt's number, from 1. The launcher may have written it down for this very process."""
    before = run.read_process()
    if before is None:
        return 1
    ours = before.pid in (os.getpid(), os.getppid())  # the launcher knew our parent alone
    return before.attempt if ours else before.attempt + 1


def complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
