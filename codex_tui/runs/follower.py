"""Follows one run: reads what is new in its events, and decides when a silent run is lost."""

from __future__ import annotations

import time

from codex_tui.runs import history_cache, outcome, tailer
from codex_tui.runs.state import ENDED, RunState, Status, reduce_all
from training.contract.config import ConfigError, RunConfig
from training.contract.run_directory import RunDirectory

LIVE_BUDGET, HISTORY_BUDGET = 0.05, 0.1
"""Seconds of reading between two looks at the keyboard."""
PREVIEW_FROM = 2 * 1024 * 1024
"""Bytes of events from which a sample of them is shown until all are read."""
GRACE = 30.0
"""Seconds a launched trainer has to say who it is: the interpreter may come from a cold disk."""
CHECK_EVERY = 2.0
"""Seconds between two looks at whether the trainer's process lives."""
SILENT = 30.0
"""Seconds without a word, where a heartbeat comes every 5, from which on a person is told."""


class RunFollower:
    """The state of `run`, brought up to date by `poll`. Any number of followers may watch one run.

    Until a large history is read, `state` comes from a sample of it, so that the whole curve shows at once. `complete`
    says that the history has been read; it stays so while new events come.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self.state = RunState()
        self.complete = False
        self._reading = self.state  # what the events read so far give; `state` but for a preview
        self._told: Status = self.state.status  # the status by the events, where `state` says lost
        self._tailer = tailer.Tailer(run.events, points=True)
        self._started = False
        self._next_check = 0.0
        self._kept = False  # whether the history cache has what `state` says
        self._left: tuple[int, ...] = ()  # signs of what an ended run has left, as they were when it was looked at
        self._process_written = 0  # mtime of the process.json that was looked at
        self._heard_at = 0.0  # monotonic

    @property
    def progress(self) -> float:
        """How much of the history has been read, 0 to 1."""
        return self._tailer.progress

    def poll(self, budget_seconds: float = LIVE_BUDGET) -> bool:
        """Reads what is new for about `budget_seconds`. True if `state` says something else now."""
        if not self._started:
            self._started = True
            self._begin()
            if self.state is not self._reading:
                return True  # the preview is worth a frame of its own
        changed, caught_up = self._read(time.monotonic() + budget_seconds)
        heard = changed and self.complete  # what is read at first may have been said long ago
        if heard:
            self._heard_at, self.state.silent = time.monotonic(), 0
        if not (caught_up or self.complete):
            return changed and self.state is self._reading
        if not self.complete:
            self.complete, self.state, changed = True, self._reading, True
        elif changed:
            self._kept = False
        elif not self._kept and self.state.status in ENDED - {"lost"} and self._tailer.size >= PREVIEW_FROM:
            # Not before a poll without news: by then what was read is on the screen.
            history_cache.save(self.run.events, self._tailer.offset, self.state)
            self._kept = True
        changed = self._look_for_the_trainer(heard) or changed
        return self._look_at_what_is_left() or changed

    def _begin(self) -> None:
        self._heard_at = last_word(self.run)
        try:
            size = self.run.events.stat().st_size
        except OSError:
            return
        if size < PREVIEW_FROM:
            return
        if kept := history_cache.load(self.run.events):
            self.state = self._reading = kept.state
            self._tailer.offset = kept.offset
            self._kept = True
        else:
            self.state = preview(self.run)

    def _read(self, deadline: float) -> tuple[bool, bool]:
        """Reads until there is nothing new or time is up. Whether the state changed, and whether all is read."""
        changed = False
        for piece in self._tailer.slices():
            if piece.restarted:
                changed = True
                self._reading = self.state = RunState()
            state = self._reading
            if state.status == "lost" and piece.events:  # it speaks, so it is not
                state.status, state.reason, state.log_tail = self._told, "", ()
            state.damaged_lines += piece.damaged
            reduce_all(state, piece.events)
            changed = changed or bool(piece.events or piece.damaged)
            if time.monotonic() >= deadline:
                return changed, False
        return changed, True

    def _look_for_the_trainer(self, heard: bool) -> bool:
        """Finds out that a run without an end has no process, or that an ended one has a new one. True if so."""
        now = time.monotonic()
        if heard:
            self._next_check = now + CHECK_EVERY
        if now < self._next_check:
            return False
        self._next_check = now + CHECK_EVERY
        if self.state.status in ENDED:
            return self.look_for_a_new_attempt()
        if may_live(self.run):
            before, self.state.silent = self.state.silent, rounded(now - self._heard_at)
            return self.state.silent != before
        # It may have said its last word after we read and before it went.
        if self._read(now + LIVE_BUDGET)[0]:
            return True
        self._told = self.state.status
        _mark_lost(self.run, self.state)
        return True

    def _look_at_what_is_left(self) -> bool:
        """Finds out with what an ended run can be gone on, and again where that has changed. True if so."""
        state = self.state
        if not state.ended or outcome.signs_of_what_is_left(self.run, state) == self._left:
            return False
        before = state.resume_step, state.has_adapter, state.broken
        outcome.find_what_is_left(self.run, state)
        self._left = outcome.signs_of_what_is_left(self.run, state)
        return (state.resume_step, state.has_adapter, state.broken) != before

    def look_for_a_new_attempt(self) -> bool:
        """A resumed trainer imports for some seconds before it speaks; the run does not count as ended then."""
        state = self.state
        try:
            written = self.run.process.stat().st_mtime_ns
        except OSError:
            return False
        if written == self._process_written:
            return False
        self._process_written = written
        identity = self.run.read_process()
        if identity is None or identity.attempt <= state.attempt or not identity.is_alive():
            return False
        state.status, state.reason, state.log_tail, state.phase = "preparing", "", (), None
        state.resume_step, state.broken = None, ""
        self._heard_at = time.monotonic()
        return True


def glance(run: RunDirectory) -> RunState:
    """How `run` stands now, in some milliseconds however long it is; see `preview` for what is exact."""
    follower = RunFollower(run)
    follower.poll()
    state = follower.state
    if state.ended:
        follower.look_for_a_new_attempt()
    elif not may_live(run):
        _mark_lost(run, state)
    if state.ended:
        outcome.find_what_is_left(run, state)
    return state


def preview(run: RunDirectory) -> RunState:
    """The state as a sample of the events tells it, in some milliseconds however long the run is.

    Exact for what the head and the tail of the file say (what really runs, the last metrics, how it ended); the curve
    and the lists have samples of the middle. A lost run is not found out here.
    """
    state = reduce_all(RunState(), tailer.sample(run.events))
    state.missing_events = 0  # what a sample leaves out is not missing
    return state


def may_live(run: RunDirectory) -> bool:
    """Whether the trainer's process lives, or was launched so lately that it may still have to say who it is."""
    if identity := run.read_process():
        return identity.is_alive()
    try:
        created = RunConfig.read(run.config).created
        since = run.config.stat().st_mtime if created is None else created
    except (OSError, ConfigError):
        return False
    return abs(time.time() - since) < GRACE  # the clock may have been set back since


def last_word(run: RunDirectory) -> float:
    """When the trainer last wrote, on the monotonic clock; now where that is in the future, as after the clock was set
    back."""
    return time.monotonic() - max(0.0, time.time() - outcome.last_written(run))


def rounded(silence: float) -> int:
    """Seconds of silence as they are told: 0 while it is nothing special, then 30, then whole minutes, then hours."""
    for least, unit in ((7200, 3600), (60, 60), (SILENT, SILENT)):
        if silence >= least:
            return int(silence // unit * unit)
    return 0


def _mark_lost(run: RunDirectory, state: RunState) -> None:
    state.reason, state.log_tail = outcome.why_lost(run, state)
    state.status, state.silent = "lost", 0
