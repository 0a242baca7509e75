"""Follows one run: reads its new events, checks whether its trainer is alive, and looks for checkpoints at its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

from codex_tui.runs import liveness, outcome
from codex_tui.runs.watched import Leftovers, WatchedRun
from training.contract import events as ev
from training.contract.run_directory import RunDirectory
from training.history import tailer
from training.history.columns import HistoryCheck, read_history
from training.history.reduce import reduce, reduce_all
from training.history.state import RunState

LIVE_BUDGET, HISTORY_BUDGET = 0.05, 0.1
"""Seconds that one poll may read before the screen handles the keyboard again."""
PREVIEW_FROM = 2 * 1024 * 1024
"""If events.jsonl has at least this many bytes, its history or a sample of it is shown until all of it is read."""
CHECK_EVERY = 2.0
"""Seconds between two checks of the trainer's process."""
SILENT_FROM = 30.0
"""A trainer that has written nothing for this many seconds is silent. It writes a heartbeat every 5 seconds."""

OnEvent = Callable[[ev.Event, RunState], None]


class RunFollower:
    """Keeps `watched` up to date each time `poll` is called. Any number of followers may watch one run.

    Until a long run is read, `watched.state` comes from RUN/history, or without it from a sample of the events, so that
    the whole curve shows at once. Only the events after those of RUN/history are read, once a thread has found that it
    is of this run's events. `complete` is True once all is read. It stays True while new events arrive.

    If `on_event` is given, it is called with each event and the state after that event. All events are read then.
    """

    def __init__(self, run: RunDirectory, *, on_event: OnEvent | None = None, check_every: float | None = None) -> None:
        self.run = run
        self.watched = WatchedRun()
        self.complete = False
        self._on_event = on_event
        self._check_every = CHECK_EVERY if check_every is None else check_every
        self._state = self.watched.state  # of the events read so far; `watched` has this state or that of a sample
        self._damaged_lines = 0
        self._tailer = tailer.Tailer(run.events, points=on_event is None)
        self._started = False
        self._next_check = 0.0
        self._history_check: HistoryCheck | None = None
        self._leftovers_seen: tuple[object, ...] = ()  # file times at the last look for leftovers
        self._heard_at = 0.0  # monotonic time of the last event

    def poll(self, budget_seconds: float = LIVE_BUDGET) -> bool:
        """Read new events for about `budget_seconds`. Returns True if `watched` has changed."""
        if not self._started:
            self._started = True
            self._begin()
            if self.watched.sampled:
                return True  # show the history or the sample before the events are read
        if not self._check_history(budget_seconds):
            return False
        before, was_complete = self.watched, self.complete
        process = liveness.find_process(self.run) if time.monotonic() >= self._next_check else None
        has_read, caught_up = self._read(time.monotonic() + budget_seconds)
        self.complete = self.complete or caught_up
        if not self.complete:
            return has_read and not self.watched.sampled
        if not was_complete:
            self.watched = WatchedRun(self._state, damaged_lines=self._damaged_lines)
        elif has_read:
            self._on_sign_of_life()
        if process is not None and caught_up:
            self._check(process)
        self._look_at_leftovers()
        return has_read or not was_complete or self.watched != before

    def snapshot(self) -> WatchedRun:
        """Look at the run once, quickly. Of a long run without a history, reads only a sample of the events."""
        process = liveness.find_process(self.run)
        self.poll(math.inf)
        if self._history_check:
            self.poll(math.inf)
        if self.watched.sampled:
            self._check(process)
            self._look_at_leftovers()
        return self.watched

    def _begin(self) -> None:
        self._heard_at = find_last_write_monotonic(self.run)
        try:
            size = self.run.events.stat().st_size
        except OSError:
            return
        if size < PREVIEW_FROM or self._on_event:
            return
        if history := read_history(self.run.history, self.run.events):
            self._history_check = HistoryCheck(self.run.events, history)
            self.watched = WatchedRun(history.state, damaged_lines=history.damaged_lines, sampled=True)
        else:
            self.watched = WatchedRun(read_sample(self.run), sampled=True)

    def _check_history(self, budget_seconds: float) -> bool:
        """Compare the history with its events, if there is one, and continue from it. Returns False if that goes on."""
        check = self._history_check
        if check is None:
            return True
        if not check.has_ended(budget_seconds):
            return False
        self._history_check = None
        if check.events is None:  # the history is of other events
            self.watched = WatchedRun(read_sample(self.run), sampled=True)
            return True
        history = check.history
        self._state, self._damaged_lines = history.state, history.damaged_lines
        self._tailer.skip(history.offset, check.events)
        return True

    def _read(self, deadline: float) -> tuple[bool, bool]:
        """Read until the end of the file or the deadline. Returns (whether events came, whether the end is reached)."""
        has_read = False
        for piece in self._tailer.slices():
            if piece.restarted:
                has_read = True
                self._state, self._damaged_lines, self._leftovers_seen = RunState(), 0, ()
                self.watched = WatchedRun(self._state)
            self._damaged_lines += piece.damaged
            if self._on_event is None:
                reduce_all(self._state, piece.events)
            else:
                for event in piece.events:
                    self._on_event(event, reduce(self._state, event))
            has_read = has_read or bool(piece.events or piece.damaged)
            if time.monotonic() >= deadline:
                return has_read, False
        return has_read, True

    def _on_sign_of_life(self) -> None:
        """Note that the trainer has written an event. It is alive, so its process is not checked for a while."""
        self._heard_at = time.monotonic()
        self._next_check = self._heard_at + self._check_every
        before = self.watched
        self.watched = WatchedRun(
            self._state,
            leftovers=before.leftovers,
            damaged_lines=self._damaged_lines,
            engine=before.engine,
            place=before.place,
        )
        if self._state.held or self._state.failure:  # the keeper decides what comes next, so look at it at once
            self._next_check = 0.0
            self.watched = replace(self.watched, liveness="ending")

    def _check(self, process: liveness.TrainerProcess) -> None:
        """Decide whether the run is alive, ended or lost. `process` must be older than the last read of events."""
        now = time.monotonic()
        self._next_check = now + self._check_every
        before = replace(self.watched, engine=process.engine, place=process.place)
        live = liveness.decide_liveness(process, before.state, sampled=before.sampled)
        if live == "lost":
            if before.liveness != "lost":
                no_event = process.has_no_event_in(before.state)
                reason, log_tail = outcome.explain_lost(self.run, before.state, no_event=no_event)
                self.watched = replace(before, liveness=live, silent_seconds=0, lost_reason=reason, log_tail=log_tail)
            return
        if live == "starting" and before.liveness != "starting":
            self._heard_at = find_last_write_monotonic(self.run)
        silent = round_silence(now - self._heard_at) if process.lives else 0
        self.watched = replace(before, liveness=live, silent_seconds=silent, lost_reason="", log_tail=())

    def _look_at_leftovers(self) -> None:
        """If the run has ended, look for its checkpoints and adapter again when their files have changed."""
        watched = self.watched
        leftovers = Leftovers()
        if watched.ended:
            seen = (watched.status, *outcome.stat_leftovers(self.run, watched.leftovers))
            if seen == self._leftovers_seen:
                return
            leftovers = outcome.find_leftovers(self.run, watched)
            self._leftovers_seen = (watched.status, *outcome.stat_leftovers(self.run, leftovers))
        else:
            self._leftovers_seen = ()
        if leftovers != watched.leftovers:
            self.watched = replace(watched, leftovers=leftovers)


def snapshot(run: RunDirectory) -> WatchedRun:
    """Look at `run` once. Takes milliseconds however long the run is. See `read_sample` for what is exact."""
    return RunFollower(run).snapshot()


def read_sample(run: RunDirectory) -> RunState:
    """Compute the state from a sample of the events. Takes milliseconds however long the run is.

    Facts from the start and the end of the file are exact: resolved settings, last metrics, how the run ended.
    The curve and the lists have only samples of the middle.
    """
    return reduce_all(RunState(), tailer.sample_events(run.events))


def find_last_write_monotonic(run: RunDirectory) -> float:
    """Find the monotonic time at which the trainer last wrote. Returns the present time if it has written nothing yet,
    or if its files have times in the future because the clock was set back."""
    now = time.time()
    return time.monotonic() - max(0.0, now - (outcome.find_last_write(run) or now))


def round_silence(seconds: float) -> int:
    """Round seconds of silence for display: 0 below 30, then 30, then whole minutes, from two hours on whole hours."""
    for minimum, unit in ((7200, 3600), (60, 60), (SILENT_FROM, SILENT_FROM)):
        if seconds >= minimum:
            return int(seconds // unit * unit)
    return 0
