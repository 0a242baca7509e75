"""One attempt at a run, as the rest of the trainer sees it: the run's directory, its events and its stop requests."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from training.contract import events as ev
from training.contract import files, questions
from training.contract.config import ConfigError, RunConfig
from training.contract.event_writer import EventWriter
from training.contract.log import trim_log
from training.contract.process import ProcessIdentity, die_with_parent, read_parent
from training.contract.run_directory import RunDirectory
from training.finetune import checkpoints
from training.finetune.ranks import LOST_ANOTHER, Ranks
from training.finetune.stop import StopRequests

HEARTBEAT_SECONDS = 5.0
SECONDS_FOR_MAIN = 1.0  # in which rank 0 reports a failure that all ranks have
LOADING_PARTS = 3  # Unsloth, the model, the adapter


class Attempt:
    """What sft.py needs from the process around it: the run, its events and the stop requests.

    `step` is the last finished step. `resume_from` is the whole checkpoint to resume from, or None. `out_of_time`: the
    time limit is so near that only the adapter and a checkpoint are saved. `ranks` are the processes that train
    together; see `FollowingAttempt` for the others than rank 0.
    """

    def __init__(self, run: RunDirectory, ranks: Ranks | None = None) -> None:
        self.run = run
        self.ranks = ranks or Ranks()
        # Of several ranks, torchrun's process is the trainer: it ends when they have ended, and they end with it.
        self._pid = os.getpid() if self.ranks.count == 1 else os.getppid()
        self.number = choose_number(run, self._pid)
        # This reads every checkpoint once, and renames the damaged ones: those left are whole.
        self._set_aside = checkpoints.set_aside_broken(run.checkpoints)
        self.resume_from = next(reversed(checkpoints.list_checkpoints(run.checkpoints)), None)
        self.step = checkpoints.parse_step(self.resume_from) if self.resume_from else 0
        self.stop = StopRequests(run, self._terminate)
        self.out_of_time = False
        self._parent = os.getppid()
        self._locating = threading.Lock()
        self._folder = os.open(run.path, os.O_RDONLY | os.O_CLOEXEC)
        self.events = EventWriter(run.events, self._find_events)
        self._ended = threading.Event()
        self._ending = threading.Lock()

    def begin(self) -> None:
        """Record this process as the run's trainer, and start the heartbeat and the watch for stop requests."""
        files.clear_unfinished(self.run.path)
        questions.forget_unread(self.run)
        self.run.reserve_room()
        if (identity := ProcessIdentity.from_pid(self._pid, self.number)) is None:
            os._exit(1)
        self.run.write_process(identity)
        die_with_parent(self.ranks.count > 1)
        self._identity = identity
        self.events.emit(ev.Started(attempt=self.number, pid=identity.pid, resume_step=self.step))
        outcome = f"The run resumes from step {self.step:,}." if self.step else "The run starts over."
        for step, file, name in self._set_aside:
            self.warn(f"The checkpoint of step {step:,} is damaged ({file}). It is now called {name}. {outcome}")
        self.stop.watch()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def locate_run(self) -> RunDirectory:
        """Return the run's directory, where it is now. Ask before each save: a save under an old name would make the
        folder anew. Ends the process if the run was deleted, or if another folder has its name."""
        with self._locating:
            if self.run.is_open_as(self._folder):
                return self.run
            run = RunDirectory.locate(self._folder)
            if run is None or self.run.path.exists():
                print_error(f"{self.run.path} was moved or deleted. Training ends: nobody could watch or resume it.")
                os._exit(1)
            self._follow(run)
            return run

    def warn(self, message: str) -> None:
        self.events.emit(ev.Warned(message=message))

    def report_loading(self, part: str, done: int) -> None:
        """Emit that `part` is being loaded now and that `done` parts are loaded already."""
        self.events.emit(ev.Phase(name="loading", detail=part, done=done, total=LOADING_PARTS, unit="parts"))

    def end(self, event: ev.Event) -> None:
        """Emit the attempt's last event, unless another thread has emitted one."""
        with self._ending:
            if not self._ended.is_set():
                self._ended.set()
                self.stop.end()
                run = RunDirectory.locate(self._folder) or self.run
                questions.delete_all(run)
                run.reserve.unlink(missing_ok=True)
                if isinstance(event, ev.Failed) and self.ranks.nodes > 1:
                    self.ranks.record_failure(event)  # the first node's process knows whether another one is lost
                else:
                    self.events.emit(event)

    def make_stop_event(self, *, resumable: bool = True) -> ev.Stopped | ev.Held:
        """Make the last event of an attempt that a request ends. Only a keeper can continue after a park."""
        keeper = self.run.read_keeper()
        if self.stop.level == "park" and keeper and keeper.pid == read_parent(self._pid):
            ends = self.stop.ends or self._find_park_ends()
            return ev.Held(state="parked", reason=self.stop.reason, ends=ends, step=self.step)
        return ev.Stopped(step=self.step, resumable=resumable)

    def _find_park_ends(self) -> str:
        try:
            return RunConfig.read(self.run.config).park_ends
        except ConfigError:  # someone has changed it
            return ev.BY_HAND

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            self.locate_run()
            with suppress(OSError):  # on a full disk the training loop fails by itself, with a better message
                self.events.emit(ev.Heartbeat(step=self.step))
                if self.run.read_process() != self._identity:  # the keeper may have written its entry after ours
                    self.run.write_process(self._identity)
                if os.getppid() != self._parent:  # the keeper was killed, so the log is ours to trim
                    trim_log(self.run.log)

    def _find_events(self) -> Path | None:
        run = RunDirectory.locate(self._folder)
        return run.events if run else None

    def _follow(self, run: RunDirectory) -> None:
        if self.resume_from:
            self.resume_from = run.path / self.resume_from.relative_to(self.run.path)
        self.run = self.stop.run = run
        self.warn("The run was renamed while it trained.")

    def _terminate(self) -> None:
        # A quick check only: this request asks the process to end at once.
        resumable = checkpoints.find_last_whole(self.run.checkpoints, thorough=False) is not None
        self.end(self.make_stop_event(resumable=resumable))
        os._exit(LOST_ANOTHER if self.ranks.count > 1 else 0)  # torchrun then ends the others


class FollowingAttempt(Attempt):
    """The attempt as the ranks after rank 0 see it. They write no file of the run, and tell what happens to nobody. A
    failure goes to torchrun's process, which records it if rank 0 has not failed as well."""

    def __init__(self, run: RunDirectory, ranks: Ranks) -> None:
        self.run, self.ranks = run, ranks
        self.number, self.step, self.resume_from = 0, 0, None
        self.out_of_time = False
        self.stop = StopRequests(run, self._terminate, reads_file=False)
        self.events = _NoEvents()

    def begin(self) -> None:
        self.stop.watch()

    def locate_run(self) -> RunDirectory:
        return self.run

    def end(self, event: ev.Event) -> None:
        if isinstance(event, ev.Failed):
            time.sleep(SECONDS_FOR_MAIN)
            self.ranks.record_failure(event)

    def _terminate(self) -> None:
        os._exit(LOST_ANOTHER)


class _NoEvents(EventWriter):
    def __init__(self) -> None:
        pass

    def emit(self, event: ev.Event) -> None:
        pass


def choose_number(run: RunDirectory, pid: int) -> int:
    """Choose the number, from 1, of the attempt whose trainer has `pid`. The keeper may have recorded one for it."""
    recorded = run.read_process()
    if recorded is None:
        return 1
    return recorded.attempt if recorded.pid == pid else recorded.attempt + 1


def print_error(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
