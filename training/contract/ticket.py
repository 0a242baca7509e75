"""The ticket of a run in the queue of its cards: a file whose name says everything, see `card_queue.py`."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple, cast, get_args

CPU = "cpu"  # the name of the processor as a card; see `training.memory.visible_gpu`

TicketState = Literal["queued", "training", "lent", "parked"]
"""queued: waits for its turn. training: has the card. lent: has lent the card to a person, so that the others wait.
parked: has given its turn up, and keeps its number for later."""
HAS_CARD = ("training", "lent")


class Ticket(NamedTuple):
    number: int
    state: TicketState
    run: str  # its name
    cards: tuple[str, ...] = ()  # on which it was found

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


class HeldTicket(NamedTuple):
    """A ticket that a living process holds."""

    ticket: Ticket
    inode: int
    paths: tuple[str, ...]  # one for each card


def describe_runs_before(before: Sequence[Ticket], cards: Sequence[str]) -> str:
    """Say in a sentence, without its full stop, which runs come before one that waits for `cards`, or would wait."""
    parts = [
        f"{' and '.join(runs)} {'trains' if len(runs) == 1 else 'train'} on {place}"
        for place, runs in _group_by_place([one for one in before if one.state == "training"], cards).items()
    ]
    parts += [f"{ticket.run} is parked, and its card is lent" for ticket in before if ticket.state == "lent"]
    queued = [ticket.run for ticket in before if ticket.state == "queued"]
    if queued:
        parts.append(
            f"{queued[0]} is before this one" if len(queued) == 1 else f"{len(queued)} runs are before this one"
        )
    return "; ".join(parts)


def _group_by_place(tickets: Sequence[Ticket], cards: Sequence[str]) -> dict[str, list[str]]:
    """Group runs by the cards that they have of `cards`, in words."""
    groups: dict[str, list[str]] = {}
    for ticket in tickets:
        place = describe_cards([card for card in cards if card in ticket.cards]) if len(cards) > 1 else "this card"
        groups.setdefault("the CPU" if CPU in cards else place, []).append(ticket.run)
    return groups


def describe_cards(cards: Sequence[str]) -> str:
    """Return the words for cards by their names: "the CPU", "GPU 1", "GPU 0 and 1"."""
    numbers = [card.removeprefix("gpu-") for card in cards]
    if len(cards) > 1 and all(number.isdigit() for number in numbers):
        return f"GPU {', '.join(numbers[:-1])} and {numbers[-1]}"
    return " and ".join("the CPU" if card == CPU else card.replace("gpu-", "GPU ", 1) for card in cards)


def is_busy(tickets: Iterable[Ticket]) -> bool:
    """Return whether a run trains on the card, or waits to."""
    return any(ticket.state != "parked" for ticket in tickets)


def make_ticket(paths: Sequence[str]) -> int:
    """Make a ticket with these paths, and return the descriptor that holds it."""
    descriptor = os.open(paths[0], os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for path in paths[1:]:
            os.link(paths[0], path)
    except OSError:  # nobody holds the ticket then, so the next one who looks deletes what there is of it
        os.close(descriptor)
        raise
    return descriptor


def rename(held: HeldTicket, ticket: Ticket) -> HeldTicket:
    """Give a ticket another name in the folder of each of its cards."""
    paths = [f"{os.path.dirname(path)}/{ticket.file_name}" for path in held.paths]  # noqa: PTH120  see `_list`
    for before, after in zip(held.paths, paths, strict=True):
        if before != after:
            os.rename(before, after)  # noqa: PTH104
    return HeldTicket(ticket, held.inode, tuple(paths))


def find_holder(path: str, *, clear: bool = True) -> int:
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
