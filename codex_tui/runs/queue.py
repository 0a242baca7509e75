"""The queues of the cards, as the app sees and changes them. The keeper of each run holds its place by itself."""

from __future__ import annotations

from typing import Literal, NamedTuple

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, convert_os_error
from codex_tui.base.text import clean
from training.contract.card_queue import CardQueue
from training.contract.config import ConfigError, RunConfig
from training.contract.profile import Profile
from training.contract.run_directory import RunDirectory
from training.contract.ticket import HAS_CARD, Ticket, describe_runs_before
from training.memory.visible_gpu import name_cards, read_devices

Move = Literal["up", "down", "first", "last"] | int


class Place(NamedTuple):
    """The place of a run in the queue of a card. `position` counts the queued runs of the card from 1; others have
    None. The ticket has all cards of the run."""

    queue: CardQueue
    ticket: Ticket
    position: int | None

    @property
    def run(self) -> RunDirectory:
        return RunDirectory(locations.runs_home() / self.ticket.run)


def find_queue(profile: Profile) -> CardQueue:
    """Return the queue of the cards that a run with this profile trains on."""
    return CardQueue(locations.runs_home(), name_cards(profile.hardware.device, profile.processes))


def describe_busy(profile: Profile) -> str:
    """Say in a sentence which runs come before a new one with this profile; "" if its cards are free, if it is trained
    elsewhere, or if the queue can't be read: then a launch says why."""
    return _describe_busy(find_queue(profile)) if profile.launch.is_local else ""


def describe_busy_for(run: RunDirectory) -> str:
    """Say in a sentence which runs come before `run`; "" if its cards are free, if it is trained elsewhere, or if its
    config.json can't be read."""
    if run.read_engine():
        return ""
    try:
        profile = RunConfig.read(run.config).profile
    except ConfigError:
        return ""
    return _describe_busy(CardQueue(locations.runs_home(), name_cards(*read_devices(profile))), run.name)


def _describe_busy(queue: CardQueue, name: str = "") -> str:
    """Describe the runs in `queue` except the one that is called `name`: another viewer may resume it just now."""
    try:
        tickets = [ticket for ticket in queue.read() if ticket.run != name]
    except OSError:
        return ""
    sentence = describe_runs_before(tickets, queue.cards)
    return clean(f"{sentence}.") if sentence else ""


def list_places() -> list[Place]:
    """List the places in all queues: for each card those that have it, then those that wait in their order, then those
    that are parked. A run on several cards has a place in the queue of each. Raises CodexError if a queue can't be
    read."""
    places, queues = list[Place](), CardQueue.list_all(locations.runs_home())
    try:
        every = CardQueue(locations.runs_home(), [card for queue in queues for card in queue.cards]).read()
    except OSError as error:
        raise convert_os_error(error) from None
    for queue in queues:
        tickets = [ticket for ticket in every if {*ticket.cards} & {*queue.cards}]
        places += [Place(queue, ticket, None) for ticket in tickets if ticket.state in HAS_CARD]
        queued = (ticket for ticket in tickets if ticket.state == "queued")
        places += [Place(queue, ticket, position) for position, ticket in enumerate(queued, 1)]
        places += [Place(queue, ticket, None) for ticket in tickets if ticket.state == "parked"]
    return places


def find_place(run: RunDirectory) -> Place | None:
    """Return the place of `run`, or None if it waits for no card and has none. Of several cards, return the one for
    which it waits longest. Raises CodexError."""
    own = [place for place in list_places() if place.ticket.run == run.name]
    return max(own, key=lambda place: place.position or 0, default=None)


def find_queued(run: RunDirectory) -> Place:
    """Return the place of `run`. Raises BadInput if it is not queued."""
    place = find_place(run)
    if place is None or place.position is None:
        why = {"training": " It trains already.", "lent": " It is parked.", "parked": " It is parked."}
        state = why.get(place.ticket.state, "") if place else ""
        raise BadInput(f"{run.name} is not queued.{state}", "See what is queued with: codex-tui queue")
    return place


def move_queued(run: RunDirectory, to: Move) -> int:
    """Move a queued run among the queued ones that share a card with it, and return its new position. Raises BadInput
    if it is not queued."""
    queue = find_queued(run).queue
    try:
        if to in ("up", "down"):
            return queue.move(run.name, by=-1 if to == "up" else 1)
        return queue.move(run.name, to if isinstance(to, int) else 1 if to == "first" else 10**9)
    except KeyError:  # its turn has come meanwhile
        find_queued(run)
        raise
    except OSError as error:
        raise convert_os_error(error) from None


def remove_queued(run: RunDirectory) -> None:
    """Ask the keeper of a queued run to end. Raises BadInput if the run is not queued."""
    find_queued(run)
    run.request_stop()
