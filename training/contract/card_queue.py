"""The queue of a card: the run that trains on it, and the runs that wait for it.

It is a folder beside the runs, RUNS/.queue/CARD. Each run has one file there, its ticket, whose name says everything:
`000012-queued-demo-3`. The run's keeper and its trainer hold the ticket open under an flock, so the kernel frees it as
soon as both are gone. A ticket that nobody holds belongs to a dead run, and the next one who looks deletes it. Every
look and every change happens while the folder itself is locked, which takes less than a millisecond.

A run on several cards has one ticket too: the same file is linked into the folder of each of its cards. It takes all of
them at once, or none. Two runs never wait for each other, because all cards have one order: a number belongs to one
ticket of all cards, and the folders are always locked in the order of their names.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from training.contract.ticket import (
    HAS_CARD,
    HeldTicket,
    Ticket,
    TicketState,
    find_holder,
    is_busy,
    make_ticket,
    rename,
)

FOLDER = ".queue"  # in the folder of the runs
NOW = "now"  # the reason of a resume request: start the run even where other runs have its cards
VARIABLE = "CODEX_TUI_TICKET"  # the number of the open ticket that a process inherits from the one that started it


class HasTicket(Exception):
    """The run has a ticket already, so that a process holds its place."""


class CardQueue:
    """The queue for one card or several, in the folder of the runs. Reading creates nothing. Methods raise OSError
    where its folders can't be used."""

    def __init__(self, runs_home: Path, cards: Iterable[str]) -> None:
        self.home = runs_home / FOLDER
        self.cards = tuple(sorted(set(cards)))
        self.folders = [self.home / card for card in self.cards]

    @classmethod
    def of_card(cls, runs_home: Path, card: str) -> CardQueue:
        return cls(runs_home, [card])

    @classmethod
    def list_all(cls, runs_home: Path) -> list[CardQueue]:
        """List the queues of all cards, one for each."""
        with suppress(OSError):
            folders = sorted((runs_home / FOLDER).iterdir())
            return [cls.of_card(runs_home, path.name) for path in folders if path.is_dir()]
        return []

    def read(self) -> list[Ticket]:
        """Return the tickets that a living process holds, in their order."""
        with self._lock():
            return [held.ticket for held in self._list()]

    def take(self, run: str, *, start_now: bool = False) -> Lease:
        """Give the last ticket to the run called `run`. It has its cards at once if all of them are free, or with
        `start_now` in any case. Raises HasTicket if the run has one."""
        for folder in self.folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (everywhere := self._everywhere())._lock():
            tickets = [held.ticket for held in everywhere._list()]
            if any(ticket.run == run for ticket in tickets):
                raise HasTicket(run)
            number = max((ticket.number for ticket in tickets), default=0) + 1
            is_free = not is_busy(ticket for ticket in tickets if self._shares_card_with(ticket))
            name = Ticket(number, "training" if start_now or is_free else "queued", run).file_name
            return Lease(self, make_ticket([f"{folder}/{name}" for folder in self.folders]))

    def move(self, run: str, position: int | None = None, *, by: int = 0) -> int:
        """Give a queued run the place `position`, from 1, among the queued runs that share a card with it, or move it
        `by` places. Returns its new place, because a place beyond the last is the last. Raises KeyError if the run is
        not queued."""
        with (everywhere := self._everywhere())._lock():
            before = [held for held in everywhere._list() if held.ticket.state == "queued"]
            moved = next((held for held in before if held.ticket.run == run), None)
            if moved is None:
                raise KeyError(run)
            after = [held for held in before if held is not moved]
            sharing = [held for held in after if {*held.ticket.cards} & {*moved.ticket.cards}]
            old = sum(held < moved for held in sharing) + 1
            new = min(max(1, old + by if position is None else position), len(sharing) + 1)
            if new <= len(sharing):
                after.insert(after.index(sharing[new - 1]), moved)
            elif sharing:
                after.insert(after.index(sharing[-1]) + 1, moved)
            else:
                after = before
            for held, place in zip(after, before, strict=True):
                rename(held, held.ticket._replace(number=place.ticket.number))
            return new

    def _everywhere(self) -> CardQueue:
        """Return the queue of all cards."""
        others = [card for queue in self.list_all(self.home.parent) for card in queue.cards]
        return CardQueue(self.home.parent, [*self.cards, *others])

    def _shares_card_with(self, ticket: Ticket) -> bool:
        return any(card in self.cards for card in ticket.cards)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        descriptors: list[int] = []
        try:
            for folder in self.folders:
                with suppress(FileNotFoundError):  # no run has used this card yet
                    descriptors.append(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
                    fcntl.flock(descriptors[-1], fcntl.LOCK_EX)
            yield
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _list(self) -> list[HeldTicket]:
        """List the tickets that are held, and delete the others. Call it under the lock."""
        tickets: dict[int, HeldTicket] = {}
        for card, folder in zip(self.cards, self.folders, strict=True):
            try:
                names = os.listdir(folder)  # noqa: PTH208  a keeper that waits does this all night
            except FileNotFoundError:
                continue
            for name in names:
                if (ticket := Ticket.parse(name)) and (inode := find_holder(path := f"{folder}/{name}")):
                    held = tickets.get(inode, HeldTicket(ticket, inode, ()))
                    ticket = held.ticket._replace(cards=(*held.ticket.cards, card))
                    tickets[inode] = HeldTicket(ticket, inode, (*held.paths, path))
        return sorted(tickets.values())

    def _read_times(self) -> list[int]:
        """Read when each folder last changed, in nanoseconds."""
        return [folder.stat().st_mtime_ns for folder in self.folders]


class Lease:
    """A held ticket. The process that holds it, and those that inherit `descriptor`, keep the run's place."""

    def __init__(self, queue: CardQueue, descriptor: int) -> None:
        self.queue = queue
        self.descriptor = descriptor
        self._seen: list[int] = []  # when the folders last changed
        self._blocker = ""  # the path of the first ticket that this run waits for

    @classmethod
    def inherit(cls) -> Lease | None:
        """Return the lease that the starting process passed on, as VARIABLE names it, or None if it passed none. No
        further program inherits it unless it is named in `pass_fds`."""
        with suppress(KeyError, ValueError, OSError):
            descriptor = int(os.environ[VARIABLE])
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            if path.parents[1].name == FOLDER and Ticket.parse(path.name):
                os.set_inheritable(descriptor, False)
                lease = cls(CardQueue.of_card(path.parents[2], path.parent.name), descriptor)
                with (everywhere := lease.queue._everywhere())._lock():
                    held = lease._find(everywhere._list())
                return cls(CardQueue(path.parents[2], held.ticket.cards), descriptor) if held else lease
        return None

    def look(self, run: str) -> list[Ticket]:
        """Return the tickets that this run waits for: of the runs that train, and of the queued ones before it. If
        there is none and this run is queued, it has its cards from now on.

        `run` is its present name, since someone may have renamed it.
        """
        with self.queue._lock():
            own, others = self._find_own(run)
            if own.ticket.state != "queued":
                return []
            before = [
                one
                for one in others
                if one.ticket.state in HAS_CARD or (one.ticket.state == "queued" and one.ticket < own.ticket)
            ]
            before.sort(key=lambda one: (one.ticket.state not in HAS_CARD, one))
            if before:
                self._blocker = before[0].paths[0]
            else:
                rename(own, own.ticket._replace(state="training"))
            self._seen = self.queue._read_times()
            return [one.ticket for one in before]

    def must_wait(self) -> bool:
        """Return whether nothing has changed since the last look. This is cheap: it looks at one ticket alone."""
        try:
            return self.queue._read_times() == self._seen and find_holder(self._blocker, clear=False) != 0
        except OSError:
            return False

    def start_anyway(self, run: str) -> None:
        """Share the cards with the runs that have them."""
        self._change_state(run, "training")

    def give_up(self, run: str) -> None:
        """Let others have the cards. The run keeps its number."""
        self._change_state(run, "parked")

    def lend(self, run: str) -> None:
        """Keep the cards for a person. A run that waits for its turn gives it up: it has no card to lend."""
        with self.queue._lock():
            own, _ = self._find_own(run)
            rename(own, own.ticket._replace(state="lent" if own.ticket.state in HAS_CARD else "parked"))

    def queue_again(self, run: str) -> None:
        """Wait for the cards again, at the old place."""
        self._change_state(run, "queued")

    def release(self) -> None:
        """Give the ticket back. Other processes may hold it still; the ticket is gone all the same."""
        with suppress(OSError), self.queue._lock():
            if own := self._find(self.queue._list()):
                for path in own.paths:
                    os.unlink(path)  # noqa: PTH108  see `_list`
        self.close()

    def close(self) -> None:
        """Leave the ticket to the processes that inherited it."""
        os.close(self.descriptor)

    def _change_state(self, run: str, state: TicketState) -> None:
        with self.queue._lock():
            own, _ = self._find_own(run)
            rename(own, own.ticket._replace(state=state))

    def _find_own(self, run: str) -> tuple[HeldTicket, list[HeldTicket]]:
        """Return the ticket of this lease, with the present name of the run, and the tickets of the others. Raises
        FileNotFoundError if someone has deleted it, from the folder of one card at least."""
        tickets = self.queue._list()
        own = self._find(tickets)
        if own is None or len(own.paths) < len(self.queue.cards):
            raise FileNotFoundError(f"The ticket of {run} in {self.queue.home} was deleted.")
        # Whoever moved it may have been killed halfway, and left it with two numbers.
        own = rename(own, own.ticket._replace(run=run))
        return own, [held for held in tickets if held.inode != own.inode]

    def _find(self, tickets: list[HeldTicket]) -> HeldTicket | None:
        inode = os.fstat(self.descriptor).st_ino
        return next((held for held in tickets if held.inode == inode), None)
