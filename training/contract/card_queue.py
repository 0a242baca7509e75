"""The queue of a card: the run that trains on it, and the runs that wait for it.

It is a folder beside the runs, RUNS/.queue/CARD. Each run has one file there, its ticket, whose name says everything:
`000012-queued-demo-3`. The run's keeper and its trainer hold the ticket open under an flock, so the kernel frees it as
soon as both are gone. A ticket that nobody holds belongs to a dead run, and the next one who looks deletes it. Every
look and every change happens while the folder itself is locked, which takes less than a millisecond.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

CPU = "cpu"  # the name of the processor as a card; see `training.memory.visible_gpu`
FOLDER = ".queue"  # in the folder of the runs
VARIABLE = "CODEX_TUI_TICKET"  # the number of the open ticket that a process inherits from the one that started it

TicketState = Literal["queued", "training", "lent", "parked"]
"""queued: waits for its turn. training: has the card. lent: has lent the card to a person, so that the others wait.
parked: has given its turn up, and keeps its number for later."""
HAS_CARD = ("training", "lent")


class Ticket(NamedTuple):
    number: int
    state: TicketState
    run: str  # its name

    @property
    def file_name(self) -> str:
        return f"{self.number:06d}-{self.state}-{self.run}"

    @classmethod
    def parse(cls, file_name: str) -> Ticket | None:
        number, _, rest = file_name.partition("-")
        state, _, run = rest.partition("-")
        if not (number.isascii() and number.isdigit() and run and state in get_args(TicketState)):
            return None
        return cls(int(number), cast(TicketState, state), run)


class HasTicket(Exception):
    """The run has a ticket already, so that a process holds its place."""


class _Held(NamedTuple):
    ticket: Ticket
    inode: int


class CardQueue:
    """The queue in `folder`. Reading creates nothing. Methods raise OSError where the folder can't be used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.card = folder.name

    @classmethod
    def of_card(cls, runs_home: Path, card: str) -> CardQueue:
        return cls(runs_home / FOLDER / card)

    @classmethod
    def list_all(cls, runs_home: Path) -> list[CardQueue]:
        with suppress(OSError):
            return [cls(path) for path in sorted((runs_home / FOLDER).iterdir()) if path.is_dir()]
        return []

    def read(self) -> list[Ticket]:
        """Return the tickets that a living process holds, in their order."""
        try:
            with self._lock():
                return [held.ticket for held in self._list()]
        except FileNotFoundError:
            return []

    def take(self, run: str, *, start_now: bool = False) -> Lease:
        """Give the last ticket to the run called `run`. It has the card at once if the card is free, or with
        `start_now` in any case. Raises HasTicket if the run has one."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock():
            tickets = [held.ticket for held in self._list()]
            if any(ticket.run == run for ticket in tickets):
                raise HasTicket(run)
            number = max((ticket.number for ticket in tickets), default=0) + 1
            state: TicketState = "training" if start_now or not is_busy(tickets) else "queued"
            path = self.folder / Ticket(number, state, run).file_name
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                path.unlink()
                raise
        return Lease(self, descriptor)

    def move(self, run: str, position: int) -> int:
        """Give a queued run the place `position`, from 1, among the queued ones. Returns its new place, because a place
        beyond the last is the last. Raises KeyError if the run is not queued."""
        with self._lock():
            before = [held.ticket for held in self._list() if held.ticket.state == "queued"]
            moved = next((ticket for ticket in before if ticket.run == run), None)
            if moved is None:
                raise KeyError(run)
            after = [ticket for ticket in before if ticket is not moved]
            after.insert(max(1, position) - 1, moved)
            for ticket, place in zip(after, before, strict=True):
                self._rename(ticket, ticket._replace(number=place.number))
            return after.index(moved) + 1

    @contextmanager
    def _lock(self) -> Iterator[None]:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _list(self) -> list[_Held]:
        """List the tickets that are held, and delete the others. Call it under the lock."""
        tickets: list[_Held] = []
        for name in os.listdir(self.folder):  # noqa: PTH208  a keeper that waits does this all night
            if (ticket := Ticket.parse(name)) and (inode := _find_holder(f"{self.folder}/{name}")):
                tickets.append(_Held(ticket, inode))
        return sorted(tickets)

    def _rename(self, before: Ticket, after: Ticket) -> None:
        if before != after:
            (self.folder / before.file_name).rename(self.folder / after.file_name)


class Lease:
    """A held ticket. The process that holds it, and those that inherit `descriptor`, keep the run's place."""

    def __init__(self, queue: CardQueue, descriptor: int) -> None:
        self.queue = queue
        self.descriptor = descriptor
        self._seen = 0  # when the folder last changed, in nanoseconds
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
                return cls(CardQueue(path.parent), descriptor)
        return None

    def look(self, run: str) -> list[Ticket]:
        """Return the tickets that this run waits for: of the runs that train, and of the queued ones before it. If
        there is none and this run is queued, it has the card from now on.

        `run` is its present name, since someone may have renamed it.
        """
        with self.queue._lock():
            own, others = self._find_own(run)
            if own.state != "queued":
                return []
            before = [one for one in others if one.state in HAS_CARD or (one.state == "queued" and one < own)]
            before.sort(key=lambda ticket: (ticket.state not in HAS_CARD, ticket))
            if before:
                self._blocker = f"{self.queue.folder}/{before[0].file_name}"
            else:
                self.queue._rename(own, own._replace(state="training"))
            self._seen = self.queue.folder.stat().st_mtime_ns
            return before

    def must_wait(self) -> bool:
        """Return whether nothing has changed since the last look. This is cheap: it looks at one ticket alone."""
        try:
            return self.queue.folder.stat().st_mtime_ns == self._seen and _find_holder(self._blocker, clear=False) != 0
        except OSError:
            return False

    def start_anyway(self, run: str) -> None:
        """Share the card with the run that has it."""
        self._change_state(run, "training")

    def give_up(self, run: str) -> None:
        """Let others have the card. The run keeps its number."""
        self._change_state(run, "parked")

    def lend(self, run: str) -> None:
        """Keep the card for a person. A run that waits for its turn gives it up: it has no card to lend."""
        with self.queue._lock():
            own, _ = self._find_own(run)
            self.queue._rename(own, own._replace(state="lent" if own.state in HAS_CARD else "parked"))

    def queue_again(self, run: str) -> None:
        """Wait for the card again, at the old place."""
        self._change_state(run, "queued")

    def release(self) -> None:
        """Give the ticket back. Other processes may hold it still; the ticket is gone all the same."""
        with suppress(OSError), self.queue._lock():
            Path(f"/proc/self/fd/{self.descriptor}").readlink().unlink()
        self.close()

    def close(self) -> None:
        """Leave the ticket to the processes that inherited it."""
        os.close(self.descriptor)

    def _change_state(self, run: str, state: TicketState) -> None:
        with self.queue._lock():
            own, _ = self._find_own(run)
            self.queue._rename(own, own._replace(state=state))

    def _find_own(self, run: str) -> tuple[Ticket, list[Ticket]]:
        """Return the ticket of this lease, with the present name of the run, and the tickets of the others. Raises
        FileNotFoundError if someone has deleted it."""
        tickets, inode = self.queue._list(), os.fstat(self.descriptor).st_ino
        own = next((held.ticket for held in tickets if held.inode == inode), None)
        if own is None:
            raise FileNotFoundError(f"The ticket of {run} in {self.queue.folder} was deleted.")
        self.queue._rename(own, own := own._replace(run=run))
        return own, [held.ticket for held in tickets if held.inode != inode]


def describe_wait(before: Sequence[Ticket], card: str) -> str:
    """Say in a sentence, without its full stop, which runs come before one that waits for `card`, or would wait."""
    training = [ticket.run for ticket in before if ticket.state == "training"]
    lent = [ticket.run for ticket in before if ticket.state == "lent"]
    queued = [ticket.run for ticket in before if ticket.state == "queued"]
    parts = []
    if training:
        verb = "trains" if len(training) == 1 else "train"
        parts.append(f"{' and '.join(training)} {verb} on {'the CPU' if card == CPU else 'this card'}")
    parts += [f"{run} is parked, and its card is lent" for run in lent]
    if queued:
        parts.append(
            f"{queued[0]} is before this one" if len(queued) == 1 else f"{len(queued)} runs are before this one"
        )
    return "; ".join(parts)


def is_busy(tickets: list[Ticket]) -> bool:
    """Return whether a run trains on the card, or waits to."""
    return any(ticket.state != "parked" for ticket in tickets)


def _find_holder(path: str, *, clear: bool = True) -> int:
    """Return the inode of the ticket at `path` if a process holds it. If none does, delete it with `clear`, and return
    0. Without the queue's lock, ask only about a ticket that is held or has been held, and clear nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if clear:
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108  see `_list`
        return 0
    except BlockingIOError:
        return os.fstat(descriptor).st_ino
    finally:
        os.close(descriptor)
