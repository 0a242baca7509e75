"""The command `queue`: lists the runs that wait for a card, and changes their order."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from codex_tui.base.errors import DONE, BadInput
from codex_tui.commands.options import RUN_HELP, add_json_option
from training.contract.ticket import TicketState

if TYPE_CHECKING:
    from codex_tui.runs.queue import Move
    from training.contract.ticket import Ticket

INDENT = "    "  # before the reason why a run waits
MOVES = ("up", "down", "first", "last")


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "queue",
        help="list the runs that wait for a card; move or remove one",
        description="Lists the runs of each card: those that train, then those that wait, in the order in which they "
        "start. Each starts by itself when its turn comes. Queue a run with: codex-tui train PROFILE --queue. A remote "
        "has queues of its own, which --on lists. The queue of a cluster is: squeue --me",
    )
    parser.add_argument("--on", metavar="REMOTE", help="list the queues of this remote (codex-tui remote list)")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run_queue)
    actions = parser.add_subparsers(title="commands that change the queue", metavar="COMMAND")
    move = actions.add_parser(
        "move",
        help="move a queued run to another position",
        description="Moves a run among those that wait for the same card, and prints its new position.",
    )
    move.add_argument("target", metavar="RUN", help=RUN_HELP)
    move.add_argument("to", metavar="WHERE", type=_parse_move, help="up, down, first, last, or a position from 1")
    add_json_option(move)
    move.set_defaults(run=run_move)
    remove = actions.add_parser(
        "remove",
        help="remove a queued run",
        description="Removes a run from the queue. Its directory stays, and `resume` queues or starts it again.",
    )
    remove.add_argument("target", metavar="RUN", help=RUN_HELP)
    add_json_option(remove)
    remove.set_defaults(run=run_remove)


def _parse_move(text: str) -> Move:
    if text.isascii() and text.isdigit() and int(text[:9]) >= 1:
        return int(text[:9])
    if text not in MOVES:
        raise argparse.ArgumentTypeError(f"should be {', '.join(MOVES)} or a position from 1 (given: {text!r})")
    return text  # type: ignore[return-value]


def run_queue(args: argparse.Namespace) -> int:
    if args.on not in (None, "local"):
        return _list_there(args)
    entries = list_entries()
    if args.json:
        print(json.dumps(msgspec.to_builtins(entries), indent=2))
    elif entries:
        print("\n".join(draw_queue(entries)))
    else:
        print("No run trains or waits. Queue one with: codex-tui train PROFILE --queue")
    if not args.json:
        _print_remotes()
    return DONE


def _print_remotes() -> None:
    """Name the remotes. If their file is damaged, only warn: the queues of this machine need nothing of it."""
    from codex_tui.base.text import clean
    from codex_tui.engines.ssh.remote.remotes import read_remotes

    try:
        for name in read_remotes():
            print(f"{name} has queues of its own: codex-tui queue --on {name}")
    except BadInput as error:
        print(clean(f"! {error.message} {error.hint}"), file=sys.stderr)


def _list_there(args: argparse.Namespace) -> int:
    """Print what the remote's own app says of the queues over there."""
    from codex_tui.base.progress import Progress
    from codex_tui.commands.progress import print_progress
    from codex_tui.engines.ssh.remote.app import RemoteApp
    from codex_tui.engines.ssh.remote.remotes import find_remote

    if args.on == "slurm":
        raise BadInput("Slurm has a queue of its own.", "List your jobs in it with: squeue --me")
    app = RemoteApp(find_remote(args.on))
    with print_progress() as report:
        report(Progress(f"asking {app.remote.name} for its queues"))
        app.ensure(report)
        answer = app.call("queue", "--json")
    if args.json:
        print(json.dumps(answer, indent=2))
    elif entries := msgspec.convert(answer, list[Entry]):
        print("\n".join(draw_queue(entries)))
    else:
        name = app.remote.name
        print(f"No run trains or waits on {name}. Queue one with: codex-tui train PROFILE --on {name} --queue")
    return DONE


def run_move(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.runs.library import find_run
    from codex_tui.runs.queue import move_queued

    _refuse_place(args)
    run = find_run(args.target)
    position = move_queued(run, args.to)
    if args.json:
        print(json.dumps({"name": run.name, "position": position}, indent=2))
    else:
        print(f"{clean(run.name)} is number {position} in the queue now.")
    return DONE


def run_remove(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.runs.library import find_run
    from codex_tui.runs.queue import remove_queued

    _refuse_place(args)
    run = find_run(args.target)
    remove_queued(run)
    name = clean(run.name)
    if args.json:
        print(json.dumps({"name": run.name, "request": "end"}, indent=2))
    else:
        print(f"{name} leaves the queue. Queue it again with: codex-tui resume {name} --queue")
    return DONE


def _refuse_place(args: argparse.Namespace) -> None:
    if args.on not in (None, "local"):
        raise BadInput(
            "--on only lists the queues of a remote.",
            "A run over there starts at once with `codex-tui resume RUN --now`, and leaves the queue with "
            "`codex-tui stop RUN`.",
        )


class Entry(msgspec.Struct, frozen=True):
    """One run of the queue of `card`, as --json prints it. `ticket` is the state of its place in the queue, and `state`
    that of the run. The seconds until it starts, and those that it then takes, are None where not known."""

    name: str
    directory: str
    card: str
    cards: list[str]  # all that the run trains on
    position: int | None
    ticket: TicketState
    state: str
    reason: str
    ends: str
    starts_in_seconds: int | None
    seconds_left: int | None


def list_entries() -> list[Entry]:
    """List all places with their estimates. Each run starts when those before it on its cards have ended."""
    from codex_tui.data.run_time import TimeEstimates
    from codex_tui.runs.follower import snapshot
    from codex_tui.runs.queue import list_places

    estimates, entries, places = TimeEstimates(), list[Entry](), list_places()
    runs = {place.ticket.run: place.run for place in places}
    watched_runs = {name: snapshot(run) for name, run in runs.items()}
    left = {name: estimates.estimate_left(run, watched_runs[name].state) for name, run in runs.items()}
    starts = _estimate_starts({place.ticket for place in places}, left)
    for place in places:
        watched, takes, starts_in = watched_runs[place.ticket.run], left[place.ticket.run], starts.get(place.ticket.run)
        held = watched.held
        has_no_event = place.ticket.state == "queued" or watched.ended  # of its present keeper
        state = held.state if held else place.ticket.state if has_no_event else watched.status
        reason, ends = (held.reason, held.ends) if held else ("", "")
        entries.append(
            Entry(
                name=place.ticket.run,
                directory=str(place.run.path),
                card=place.queue.cards[0],
                cards=list(place.ticket.cards),
                position=place.position,
                ticket=place.ticket.state,
                state=state,
                reason=reason,
                ends=ends,
                starts_in_seconds=None if starts_in is None else round(starts_in),
                seconds_left=None if takes is None else round(takes),
            )
        )
    return entries


def _estimate_starts(tickets: Iterable[Ticket], left: Mapping[str, float | None]) -> dict[str, float]:
    """Return in how many seconds each queued run starts, where that is known. `left` has the seconds that each run
    still takes."""
    from training.contract.ticket import HAS_CARD

    starts: dict[str, float] = {}
    free_in: dict[str, float] = {}  # of each card: the seconds until the runs so far have ended; inf if not known
    for ticket in sorted(tickets, key=lambda one: (one.state not in HAS_CARD, one.number)):
        start = max(free_in.get(card, 0.0) for card in ticket.cards)
        takes = math.inf if (seconds := left[ticket.run]) is None else seconds
        match ticket.state:
            case "training":
                end = max(start, takes)
            case "queued":
                starts[ticket.run], end = start, start + takes
            case "lent":
                end = math.inf  # nobody knows when the person gives the card back
            case "parked":
                continue
        free_in |= dict.fromkeys(ticket.cards, end)
    return {run: start for run, start in starts.items() if start < math.inf}


def draw_queue(entries: list[Entry]) -> Iterator[str]:
    from codex_tui.base.text import clean
    from training.contract.ticket import describe_cards

    width = max(4, *(len(clean(entry.name)) for entry in entries))
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    for card in dict.fromkeys(entry.card for entry in entries):
        title = clean(describe_cards([card]))
        yield f"{title[:1].upper()}{title[1:]}"
        for entry in (entry for entry in entries if entry.card == card):
            position = f"{entry.position:>3}" if entry.position else "  ·"
            others = clean(describe_cards([other for other in entry.cards if other != card]))
            time = ", ".join(filter(None, (others and f"with {others}", _describe_time(entry))))
            row = f"{position}  {clean(entry.name):<{width}}  {clean(entry.state):<10}  {time}"
            yield row.rstrip()
            remark = clean(" ".join(filter(None, (entry.reason and f"{entry.reason.rstrip('.')}.", entry.ends))))
            yield from textwrap.wrap(remark, max(20, room), initial_indent=INDENT, subsequent_indent=INDENT)


def _describe_time(entry: Entry) -> str:
    from codex_tui.base.text import format_duration

    takes = "" if entry.seconds_left is None else format_duration(entry.seconds_left)
    if entry.ticket == "training":
        return f"{takes} left" if takes else ""
    if entry.ticket != "queued":  # no clock runs down while it is parked
        return f"takes about {takes} more" if takes else ""
    start = "" if entry.starts_in_seconds is None else f"starts in about {format_duration(entry.starts_in_seconds)}"
    return ", ".join(filter(None, (start, takes and f"takes about {takes}"))) or "no speed of its model is known yet"
