"""The queues of the cards, as the app sees and changes them. The keeper of each run holds its place by itself."""

from __future__ import annotations

from typing import Literal, NamedTuple

from codex_tui.base import locations
from codex_tui.base.errors import BadInput, convert_os_error
from codex_tui.base.text import clean
from training.contract.card_queue import HAS_CARD, CardQueue, Ticket, describe_wait
from training.contract.config import ConfigError, RunConfig
from training.contract.run_directory import RunDirectory
from training.memory.visible_gpu import describe_card, name_card, read_device

Move = Literal["up", "down", "first", "last"] | int


class Place(NamedTuple):
    """The place of a run in the queue of a card. `position` counts the queued runs from 1; others have None."""

    queue: CardQueue
    ticket: Ticket
    position: int | None

    @property
    def run(self) -> RunDirectory:
        return RunDirectory(locations.runs_home() / self.ticket.run)

    @property
    def card(self) -> str:
        return describe_card(self.queue.card)


def find_queue(device: int | str) -> CardQueue:
    """Return the queue of the card that hardware.device picks."""
    return CardQueue.of_card(locations.runs_home(), name_card(device))


def describe_busy(device: int | str) -> str:
    """Say in a sentence which runs come before a new one on the card that hardware.device picks; "" if it is free, or
    if the queue can't be read: then a launch says why."""
    queue = find_queue(device)
    try:
        sentence = describe_wait(queue.read(), queue.card)
    except OSError:
        return ""
    return clean(f"{sentence}.") if sentence else ""


def describe_busy_for(run: RunDirectory) -> str:
    """Say in a sentence which runs come before `run`; "" if its card is free, or if its config.json can't be read."""
    try:
        device = read_device(RunConfig.read(run.config).profile)
    except ConfigError:
        return ""
    return describe_busy(device)


def list_places() -> list[Place]:
    """List the places in all queues: for each card those that have it, then those that wait in their order, then those
    that are parked. Raises CodexError if a queue can't be read."""
    places = []
    for queue in CardQueue.list_all(locations.runs_home()):
        try:
            tickets = queue.read()
        except OSError as error:
            raise convert_os_error(error) from None
        places += [Place(queue, ticket, None) for ticket in tickets if ticket.state in HAS_CARD]
        queued = (ticket for ticket in tickets if ticket.state == "queued")
        places += [Place(queue, ticket, position) for position, ticket in enumerate(queued, 1)]
        places += [Place(queue, ticket, None) for ticket in tickets if ticket.state == "parked"]
    return places


def find_place(run: RunDirectory) -> Place | None:
    """Return the place of `run`, or None if it waits for no card and has none. Raises CodexError."""
    return next((place for place in list_places() if place.ticket.run == run.name), None)


def find_queued(run: RunDirectory) -> Place:
    """Return the place of `run`. Raises BadInput if it is not queued."""
    place = find_place(run)
    if place is None or place.position is None:
        why = {"training": " It trains already.", "lent": " It is parked.", "parked": " It is parked."}
        state = why.get(place.ticket.state, "") if place else ""
        raise BadInput(f"{run.name} is not queued.{state}", "See what is queued with: codex-tui queue")
    return place


def move_queued(run: RunDirectory, to: Move) -> int:
    """Move a queued run among the queued ones of its card, and return its new position. Raises BadInput if it is not
    queued, or if there is no position below 1."""
    place = find_queued(run)
    assert place.position is not None
    steps = {"up": place.position - 1, "down": place.position + 1, "first": 1, "last": 10**9}
    position = to if isinstance(to, int) else steps[to]
    try:
        return place.queue.move(run.name, position)
    except KeyError:  # its turn has come meanwhile
        find_queued(run)
        raise
    except OSError as error:
        raise convert_os_error(error) from None


def remove_queued(run: RunDirectory) -> None:
    """Ask the keeper of a queued run to end. Raises BadInput if the run is not queued."""
    find_queued(run)
    run.request_stop()
