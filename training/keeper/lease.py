"""The run's lease of its cards: the keeper waits for it, and gives its turn up while the run is held."""

from __future__ import annotations

import os
from contextlib import suppress

from training.contract.card_queue import VARIABLE, CardQueue, HasTicket, Lease
from training.contract.config import RunConfig
from training.contract.run_directory import RunDirectory
from training.contract.ticket import HAS_CARD, describe_runs_before
from training.keeper.watchers import Hold
from training.memory.visible_gpu import name_cards, read_devices

LOOK_SECONDS = 5.0  # between two looks at who has the card, while the run is held for another reason
ENDS = "It starts by itself when its turn comes."
QUEUES_AGAIN = "Its place in the queue was deleted, so it takes another one."


class CardLease:
    """The ticket of a run in the queue of its cards. Without a queue that works, the run just starts, and so does one
    that is not `is_queued`, because the queue of a cluster has given it its cards."""

    def __init__(self, run: RunDirectory, config: RunConfig, *, is_queued: bool = True) -> None:
        self._lease = (Lease.inherit() or _take_cards(run, config)) if is_queued else None
        self._hold: Hold | None = None  # while the run waits for its turn
        self._starts_now = False  # whatever other runs have its cards
        self._is_lent: bool | None = None  # None: this run has the card, or waits for it
        self._is_taken, self._next_look = False, 0.0
        self._pass_on()

    @property
    def descriptor(self) -> int | None:
        """What a trainer inherits, so that the card stays taken when the keeper is killed."""
        return self._lease.descriptor if self._lease else None

    @property
    def waits(self) -> bool:
        """Whether the run waits for its turn, and for nothing else."""
        return self._hold is not None

    def start_now(self) -> None:
        """Let the run share its cards with the runs that have them, as soon as nothing else holds it."""
        self._starts_now = True

    def wait(self, run: RunDirectory) -> Hold | None:
        """Return why the run can't start yet, or None when it has its cards."""
        if self._lease is None:
            return None
        try:
            if self._is_lent is not None:
                self._lease.queue_again(run.name)
                self._is_lent = None
            if self._starts_now:
                self._lease.start_anyway(run.name)
            elif self._hold and self._lease.must_wait():
                return self._hold
            before = self._lease.look(run.name)
        except OSError:  # someone has deleted the ticket
            return self._take_again(run)
        if not before:
            self._hold, self._starts_now = None, False
            return None
        if self._hold and not any(ticket.state in HAS_CARD for ticket in before):
            return self._hold  # the one before this run starts in a moment
        self._hold = Hold("queued", f"{describe_runs_before(before, self._lease.queue.cards)}.", ENDS)
        return self._hold

    def is_taken(self, run: RunDirectory, now: float) -> bool:
        """Return whether another run trains on one of the cards. It looks every few seconds."""
        if self._lease and now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            with suppress(OSError):
                tickets = self._lease.queue.read()
                self._is_taken = any(one.state == "training" and one.run != run.name for one in tickets)
        return self._is_taken

    def give_up(self, run: RunDirectory, *, is_lent: bool) -> None:
        """Let the other runs have the cards, since this one is held for another reason. It keeps its number. With
        `is_lent`, a person has borrowed the cards, so that the others wait too."""
        self._hold = None
        self._starts_now = self._starts_now and not is_lent
        if self._lease and self._is_lent is not is_lent:
            with suppress(OSError):
                (self._lease.lend if is_lent else self._lease.give_up)(run.name)
                self._is_lent = is_lent

    def release(self) -> None:
        if self._lease:
            self._lease.release()
            self._lease = None

    def _take_again(self, run: RunDirectory) -> Hold | None:
        """Take another ticket. Returns the hold until the next look at the queue, or None if there is no queue."""
        assert self._lease is not None
        self._lease.release()  # someone may have deleted it from the queue of one card alone
        self._is_lent = None
        try:
            self._lease = self._lease.queue.take(run.name)
        except (OSError, HasTicket):
            self._lease, self._hold = None, None
        else:
            self._hold = self._hold or Hold("queued", QUEUES_AGAIN, ENDS)
        self._pass_on()
        return self._hold

    def _pass_on(self) -> None:
        """Name the ticket for the programs that inherit it."""
        if self._lease:
            os.environ[VARIABLE] = str(self._lease.descriptor)
        else:
            os.environ.pop(VARIABLE, None)


def _take_cards(run: RunDirectory, config: RunConfig) -> Lease | None:
    """Take the cards at once, for a run that nobody has given a ticket: it was started by hand."""
    try:
        cards = name_cards(*read_devices(config.profile))
        return CardQueue(run.path.parent, cards).take(run.name, start_now=True)
    except (OSError, HasTicket):
        return None
