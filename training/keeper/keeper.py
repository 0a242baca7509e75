"""`python -m training RUN`: keeps the run until it ends. It starts each trainer as its child, and decides what is next.

The keeper is detached and light. RUN/keeper.json says who it is, and a run has not ended while its keeper lives. If it
is killed, its trainer goes on to the end of the attempt, and nobody continues after that.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

import msgspec

from training.contract import events as ev
from training.contract.card_queue import NOW
from training.contract.config import RunConfig
from training.contract.control import Request
from training.contract.end_event import read_end_event
from training.contract.event_writer import EventWriter
from training.contract.loan import list_loans
from training.contract.log import trim_log
from training.contract.process import ProcessIdentity
from training.contract.run_directory import RunDirectory
from training.contract.signs import SIGN_SECONDS
from training.contract.tell import tell
from training.keeper.batch_job import BatchJob
from training.keeper.decisions import AttemptEnd, Finish, Heal, Next, decide, find_saved_step
from training.keeper.healing import Healer, HealRules
from training.keeper.lease import CardLease
from training.keeper.lock import lock_run
from training.keeper.lost_driver import blame_driver
from training.keeper.recording import HistoryKeeper
from training.keeper.run_config import read_config
from training.keeper.trainer_process import COMMAND, TrainerProcess
from training.keeper.watcher_list import make_watchers
from training.keeper.watchers import Hold, Moment, Release, Restart, Watcher, Watchers

POLL_SECONDS = 0.5  # between two looks at the control file, the log's size, and the watchers whose time has come
BUSY = "another process is training this run."


def keep(
    path: Path,
    command: Sequence[str] = COMMAND,
    make: Callable[[RunDirectory, RunConfig], list[Watcher]] = make_watchers,
) -> int:
    """Keep the run at `path` until it ends. Returns the exit code of its last trainer. `command` starts a trainer, with
    the path of the run as its last argument."""
    run = RunDirectory(path)
    os.umask(0o077)
    # A closed terminal or Ctrl-C in it is no stop request.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        lock = lock_run(run)
        if lock is None:
            _print_error(f"{run.path}: {BUSY}")
            return 1
        config = read_config(run)
        keeper = Keeper(run, command, make(run, config), config)
    except OSError as error:  # one of the run's files may be a pipe, for example
        _print_error(f"{error.filename or run.path}: {error.strerror}")
        return 1
    code = keeper.keep()
    os.close(lock)  # before keeper.json, so that whoever sees no keeper can start one
    keeper.leave()
    return code


class Keeper:
    """One run and what its keeper knows beside the run's files."""

    def __init__(self, run: RunDirectory, command: Sequence[str], watchers: list[Watcher], config: RunConfig) -> None:
        self._folder = os.open(run.path, os.O_RDONLY | os.O_CLOEXEC)
        self._run = RunDirectory(f"/proc/self/fd/{self._folder}")  # which leads there whoever renames it
        self._job = BatchJob.find(self._run)
        self._command, self._watchers = command, Watchers([self._job, *watchers] if self._job else watchers)
        self._healer = Healer(HealRules.read(config))
        self._park_ends = config.park_ends
        self._history = HistoryKeeper(self._run)
        self._card = CardLease(run, config, is_queued=self._job is None)
        self._held: Hold | None = None  # the one that events.jsonl has; None while a trainer runs
        self._since = time.monotonic()
        self._resumed_at: float | None = None
        self._trainer: TrainerProcess | None = None  # the one that runs
        self._attempts = 0  # that this keeper has started
        self._sigterms = 0
        self._next_sign = 0.0
        self._code = 0
        self._identity = ProcessIdentity.current(self._count_attempts() + 1)
        self._begin()

    def _begin(self) -> None:
        if self._run.read_keeper() != self._identity:  # the launcher may have written it
            with suppress(OSError):
                self._run.write_keeper(self._identity)
        # psutil's create time is up to a second early, because the kernel gives the boot time in whole seconds.
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - self._identity.create_time
        with suppress(OSError):
            if self._job is None and self._run.control.stat().st_mtime < time.time() - age:
                self._run.clear_stop()  # this request was for an earlier keeper
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # sigtimedwait needs it blocked, to miss none

    def keep(self) -> int:
        """Start attempts until one ends the run. Returns the exit code of the last one."""
        decision: Next | Finish = Finish() if self._job and self._job.has_nothing_to_do(self._run) else Next()
        while isinstance(decision, Next):
            decision = self._hold(decision.hold) or self._train()
        if decision.event:
            self._emit(decision.event)
        self._card.release()
        return self._code

    def leave(self) -> None:
        """Take keeper.json away, tell the person, and record the history."""
        if self._run.read_keeper() == self._identity:
            with suppress(OSError):
                self._run.keeper.unlink()
        if self._job is None:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # there is no trainer to pass it on to
        if named := self._locate():
            tell(named)
        self._history.finish()  # after keeper.json, which viewers wait for

    def _hold(self, by_hand: Hold | None) -> Finish | None:
        """Hold the run while a person or a watcher wants it, and until it has its card. Returns None if the next
        attempt may start.

        `by_hand` is the hold that a person asked for.
        """
        self._watchers.ask_all_again()
        self._since = time.monotonic()
        if by_hand:
            by_hand, self._resumed_at = by_hand._replace(ends=self._park_ends), None
        run, shown = self._run, None
        while (named := self._locate()) is not None:
            request = Request("save") if self._sigterms else run.take_request()
            match request:
                case Request("save" | "terminate"):
                    step = find_saved_step(run)
                    return self._find_loss() or Finish(ev.Stopped(step=step, resumable=step > 0))
                case Request("resume", reason):
                    by_hand, self._resumed_at = None, time.monotonic()
                    self._watchers.ask_all_again()
                    if reason == NOW or self._card.waits:
                        self._card.start_now()
                case Request("park", reason):
                    by_hand, self._resumed_at = Hold("parked", reason, self._park_ends), None
            answers = self._watchers.look(self._make_moment(named))
            if any(isinstance(answer, Release) for answer in answers):
                by_hand = None
            holds = [by_hand, *(answer for answer in answers if isinstance(answer, Hold))]
            hold = next((hold for hold in holds if hold), None)
            if hold and hold.state != "healing":
                self._card.give_up(named, is_lent=hold is by_hand or bool(list_loans(run)))
            elif hold is None and (hold := self._card.wait(named)) is None:
                return None
            if hold != self._held:
                self._emit(ev.Held(**hold._asdict(), step=find_saved_step(run)))
                self._held = hold
            if hold != shown:  # the trainer may have written the event
                shown = hold
                run.reserve_room()
                tell(named)
                self._history.finish()
            if self._job and (left := self._job.leave(run, is_by_hand=hold is by_hand)):
                return left
            self._sleep()
        return Finish()

    def _train(self) -> Next | Finish:
        """Run one attempt, from the start of its trainer to the decision about what comes after it."""
        run, named, attempt = self._run, self._locate(), self._count_attempts() + 1
        if named is None:
            return Finish()
        is_next = self._attempts > 0 or (self._job is not None and self._job.restarts > 0)
        if is_next:  # the launcher wrote this line for the first one
            _print_error(f"\n── attempt {attempt} ──")
        is_change = is_next or self._held is not None
        self._attempts += 1
        self._held, self._since = None, time.monotonic()
        self._watchers.ask_all_again()
        ruled: Hold | None = None
        restart: Restart | None = None
        since, sigterms = run.count_event_bytes(), 0
        self._trainer = trainer = TrainerProcess(named, self._command, attempt, self._card.descriptor)
        if is_change:
            tell(named)
        while (exit_ := trainer.poll()) is None:
            if sigterms < self._sigterms:  # one may have come before there was a trainer
                sigterms += 1
                self._job.ask_to_stop(run, sigterms) if self._job else trainer.send(signal.SIGTERM)
            with suppress(OSError):
                trim_log(run.log)
            self._history.poll()
            named = self._locate() or named
            for answer in self._watchers.look(self._make_moment(named)):
                if isinstance(answer, Hold) and ruled is None and run.read_stop_request() is None:
                    with suppress(OSError):
                        run.request_stop("park", answer.reason, answer.ends)
                        ruled = answer
                elif isinstance(answer, Restart) and restart is None:
                    restart = answer
                    trainer.send(signal.SIGKILL)
            self._sleep()
        self._trainer = None
        self._code = trainer.code
        with suppress(OSError):  # if the disk is full, nothing records the end, and the run shows as lost
            trim_log(run.log)
            run.write_exit(exit_)
        end = read_end_event(run.events, since)
        return self._decide(blame_driver(run, AttemptEnd(attempt, end, exit_, ruled, restart)))

    def _decide(self, end: AttemptEnd) -> Next | Finish:
        decision = decide(end, request := self._run.read_request())
        # The request stays where the run ends, so that viewers can say that the end was asked for.
        if isinstance(decision, Next) and (taken := self._run.take_request()) != request:
            decision, request = decide(end, taken), taken
        if request and request.word == "resume":
            self._resumed_at = time.monotonic()
        if not isinstance(end.event, ev.Done | ev.Failed) and (loss := self._find_loss()):
            return loss
        if isinstance(end.event, ev.Held):
            self._held = Hold(end.event.state, end.event.reason, end.event.ends, end.event.until)
        return self._heal(end, decision.reason) if isinstance(decision, Heal) else decision

    def _heal(self, end: AttemptEnd, reason: str) -> Next | Finish:
        """Prepare the next attempt after one that failed or hung, if the run can be healed."""
        named = self._locate()
        if named is None or not self._healer.can_heal(end):
            return Finish()
        step = find_saved_step(named)
        self._held = Hold("healing", reason, f"The run continues from step {step:,}.")
        self._emit(ev.Held(**self._held._asdict(), step=step))
        tell(named)
        event = self._healer.heal(named, end)
        if isinstance(event, ev.Failed):
            return Finish(event)
        self._emit(event)
        values = {field: msgspec.json.encode(value).decode() for field, (_, value) in event.changes.items()}
        changes = ", ".join(f"{field} = {value}" for field, value in values.items())
        _print_error(f"\n── {event.reason} {changes} ──")
        return Next()

    def _find_loss(self) -> Finish | None:
        """Return the end of a run from which Slurm takes the nodes, after it has sent SIGTERM."""
        return self._job.find_loss(self._run) if self._job and self._sigterms else None

    def _make_moment(self, named: RunDirectory) -> Moment:
        trainer = self._trainer
        attempt = trainer.attempt if trainer else self._count_attempts() + 1
        pid, now = trainer.pid if trainer else None, time.monotonic()
        card_is_taken = trainer is None and self._card.is_taken(named, now)
        return Moment(named, now, self._since, pid, attempt, self._held, card_is_taken, self._resumed_at)

    def _emit(self, event: ev.Event) -> None:
        """Append `event`. No trainer lives, so that nobody else writes."""
        with suppress(OSError):
            self._run.reserve.unlink(missing_ok=True)
            writer = EventWriter(self._run.events)
            try:
                writer.emit(event)
            finally:
                writer.close()

    def _locate(self) -> RunDirectory | None:
        """Return the run by its present name. None if it was deleted: then nothing is left to keep."""
        return RunDirectory.locate(self._folder)

    def _count_attempts(self) -> int:
        process = self._run.read_process()
        return process.attempt if process else 0

    def _sleep(self) -> None:
        if (now := time.monotonic()) >= self._next_sign:
            self._next_sign = now + SIGN_SECONDS
            self._run.give_sign()
        signal.sigtimedwait([signal.SIGCHLD], POLL_SECONDS)

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        self._sigterms += 1  # `_train` passes it on, and `_hold` ends the run


def _print_error(text: str) -> None:
    with suppress(OSError):  # a full disk: the trainer itself reports that
        print(text, file=sys.stderr, flush=True)  # noqa: T201
