"""The command `park`: lends the card, and waits until it is free."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DETACHED, DONE, FAILED
from codex_tui.commands.options import RUN_HELP, add_exact_option

if TYPE_CHECKING:
    from codex_tui.runs.watched import WatchedRun
    from training.contract.run_directory import RunDirectory

LOOK_EVERY = 0.2


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "park",
        help="lend the card: save, end the trainer, and wait for resume",
        description="At the next step the run saves a checkpoint and its trainer ends, so that all of its GPU memory "
        "is free. The run waits, and `resume` brings it back, as if there had been no break.",
    )
    parser.add_argument("target", metavar="RUN", help=RUN_HELP)
    add_exact_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON and leave, before the run has saved")
    parser.set_defaults(run=run_park)


def run_park(args: argparse.Namespace) -> int:
    """Park a run, and print what came of it once its trainer has ended."""
    from codex_tui import stopping
    from codex_tui.base.text import clean
    from codex_tui.commands.results import print_fetch
    from codex_tui.engines.watch import watching
    from codex_tui.runs.library import find_run

    run = find_run(args.target, exact=args.exact)
    with print_fetch(run):
        stopping.park(run)
    name = clean(run.name)
    if args.json:
        print(json.dumps({"name": run.name, "request": "park"}, indent=2))
        return DONE
    try:
        with watching(run):
            watched = _wait(run)
    except KeyboardInterrupt:
        print(f"\n{name} is parked as soon as it has saved. See it with: codex-tui attach {name}")
        return DETACHED
    if held := watched.held:
        where = f" at step {held.step:,}" if held.step else " before its first step"
        print(f"{name} is {held.state}{where}. Bring it back with: codex-tui resume {name}")
        return DONE
    if watched.status == "done":
        print(f"{name} is done: it came to its end before it could be parked.")
        return DONE
    if not watched.ended:
        print(f"{name} was brought back before it could be parked.")
        return FAILED
    reason = f": {clean(watched.reason)}" if watched.reason else "."
    print(f"{name} is not parked but {watched.status}{reason}")
    return FAILED


def _wait(run: RunDirectory) -> WatchedRun:
    from codex_tui.base.progress import Progress
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.runs.follower import RunFollower

    follower = RunFollower(run, check_every=0.0)
    with print_progress() as report:
        while True:
            follower.poll()
            watched = follower.watched
            is_asked = run.read_stop_request() == "park"
            if follower.complete and (watched.ended or (watched.liveness != "ending" and not is_asked)):
                return watched
            phase = watched.phase
            detail = "" if phase is None or phase.name == "training" else str(phase.name)
            if watched.liveness == "unreachable":
                detail = clean(watched.reason)
            report(Progress("waiting for the end of the step", detail=detail))
            time.sleep(LOOK_EVERY)
