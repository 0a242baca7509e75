"""The run's lease of its card: the keeper waits for it, and gives its turn up while the run is held."""

from __future__ import annotations

import os
from contextlib import suppress

from training.contract.card_queue import HAS_CARD, VARIABLE, CardQueue, HasTicket, Lease, describe_wait
from training.contract.config import ConfigError, RunConfig
from training.contract.run_directory import RunDirectory
from training.keeper.watchers import Hold
from training.memory.visible_gpu import name_card, read_device

LOOK_SECONDS = 5.0  # between two looks at who has the card, while the run is held for another reason
ENDS = "It starts by itself when its turn comes."
QUEUES_AGAIN = "Its place in the queue was deleted, so it takes another one."


class CardLease:
    """The ticket of a run in the queue of its card. Without a queue that works, the run just starts, and so does one
    that is not `is_queued`, because the queue of a cluster has given it its card."""

    def __init__(self, run: RunDirectory, *, is_queued: bool = True) -> None:
        self._lease = (Lease.inherit() or _take_card(run)) if is_queued else None
        self._hold: Hold | None = None  # while the run waits for its turn
        self._waits_since = 0.0  # monotonic seconds
        self._is_lent: bool | None = None  # None: this run has the card, or waits for it
        self._is_taken, self._next_look = False, 0.0
        self._pass_on()

    @property
    def descriptor(self) -> int | None:
        """What a trainer inherits, so that the card stays taken when the keeper is killed."""
        return self._lease.descriptor if self._lease else None

    def wait(self, run: RunDirectory, now: float, resumed_at: float | None) -> Hold | None:
        """Return why the run can't start yet, or None when it has its card. A person who resumes a run that waits for
        its turn lets it start at once. `now` and `resumed_at` are monotonic seconds."""
        if self._lease is None:
            return None
        try:
            if self._is_lent is not None:
                self._lease.queue_again(run.name)
                self._is_lent = None
            if self._hold and resumed_at is not None and resumed_at > self._waits_since:
                self._lease.start_anyway(run.name)
            elif self._hold and self._lease.must_wait():
                return self._hold
            before = self._lease.look(run.name)
        except OSError:  # someone has deleted the ticket
            return self._take_again(run, now)
        if not before:
            self._hold = None
            return None
        if self._hold and not any(ticket.state in HAS_CARD for ticket in before):
            return self._hold  # the one before this run starts in a moment
        if self._hold is None:
            self._waits_since = now
        self._hold = Hold("queued", f"{describe_wait(before, self._lease.queue.card)}.", ENDS)
        return self._hold

    def is_taken(self, run: RunDirectory, now: float) -> bool:
        """Return whether another run trains on the card. It looks every few seconds."""
        if self._lease and now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            with suppress(OSError):
                tickets = self._lease.queue.read()
                self._is_taken = any(one.state == "training" and one.run != run.name for one in tickets)
        return self._is_taken

    def give_up(self, run: RunDirectory, *, is_lent: bool) -> None:
        """Let the other runs have the card, since this one is held for another reason. It keeps its number. With
        `is_lent`, a person has borrowed the card, so that the others wait too."""
        self._hold = None
        if self._lease and self._is_lent is not is_lent:
            with suppress(OSError):
                (self._lease.lend if is_lent else self._lease.give_up)(run.name)
                self._is_lent = is_lent

    def release(self) -> None:
        if self._lease:
            self._lease.release()
            self._lease = None

    def _take_again(self, run: RunDirectory, now: float) -> Hold | None:
        """Take another ticket. Returns the hold until the next look at the queue, or None if there is no queue."""
        assert self._lease is not None
        self._lease.close()
        self._is_lent = None
        try:
            self._lease = self._lease.queue.take(run.name)
        except (OSError, HasTicket):
            self._lease, self._hold = None, None
        else:
            if self._hold is None:
                self._hold, self._waits_since = Hold("queued", QUEUES_AGAIN, ENDS), now
        self._pass_on()
        return self._hold

    def _pass_on(self) -> None:
        """Name the ticket for the programs that inherit it."""
        if self._lease:
            os.environ[VARIABLE] = str(self._lease.descriptor)
        else:
            os.environ.pop(VARIABLE, None)


def _take_card(run: RunDirectory) -> Lease | None:
    """Take the card at once, for a run that nobody has given a ticket: it was started by hand."""
    try:
        card = name_card(read_device(RunConfig.read(run.config).profile))
        return CardQueue.of_card(run.path.parent, card).take(run.name, start_now=True)
    except (ConfigError, OSError, HasTicket):
        return None
