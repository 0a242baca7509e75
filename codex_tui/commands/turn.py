"""Where the card is busy, a command that starts a run asks: queue it, or start it anyway. Also starts several runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codex_tui.base.errors import DONE, FAILED, BadInput

if TYPE_CHECKING:
    from codex_tui.launch_series import Series
    from training.contract.run_directory import RunDirectory

MAX_UNASKED = 8  # runs that start without a question
ANSWERS = {"": True, "q": True, "queue": True, "n": False, "now": False}


def add_turn_options(parser: argparse.ArgumentParser) -> None:
    """Add `--queue` and `--now`. `choose_turn` reads them."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--queue", action="store_true", help="wait for the card where another run has it, without asking"
    )
    group.add_argument("--now", action="store_true", help="start even where another run has the card")


def choose_turn(args: argparse.Namespace, sentence: str) -> bool | None:
    """Return whether a run waits for its card. `sentence` says which runs have the card, "" if it is free. Asks if the
    card is busy and neither option answers it. Returns None if the person wants neither. Raises BadInput if there is no
    terminal to ask on."""
    if args.queue or args.now:
        return bool(args.queue)
    if not sentence:
        return True  # should another run be faster, this one waits for it
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadInput(sentence, "Add --queue to wait for the card, or --now to start at once.")
    print(sentence, file=sys.stderr)
    while True:
        print("Queue it (q, Enter), start it now (n), or cancel (c)? ", end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline()
        word = answer.strip().lower()
        if word in ANSWERS and answer:
            return ANSWERS[word]
        if not answer or word in ("c", "cancel"):
            print("Nothing was started.", file=sys.stderr)
            return None


def start_series(series: Series, args: argparse.Namespace) -> int:
    """Queue all runs of `series`, in their order. The first starts at once if its card is free."""
    from codex_tui import launcher
    from codex_tui.base.text import clean, format_duration, pluralize
    from codex_tui.commands.progress import print_progress
    from codex_tui.commands.setup import ensure_with_progress

    if args.now:
        raise BadInput("--now starts a single run.", "Leave it out: several runs train one after the other.")
    plans = series.plans
    seconds = "" if series.seconds is None else f", about {format_duration(series.seconds)} in all"
    are_local = all(plan.profile.launch.is_local for plan in plans)
    order = "one after the other" if are_local else "each queued where it is trained"
    print(f"{pluralize(len(plans), 'run')}{seconds}, {order}.", file=sys.stderr)
    for warning in dict.fromkeys(warning for plan in plans for warning in plan.warnings):
        print(f"{clean(warning)} The runs start anyway.", file=sys.stderr)
    for note in dict.fromkeys(plan.download_note for plan in plans if plan.download_note):
        print(clean(note), file=sys.stderr)
    if not _confirm(args, len(plans)):
        return FAILED
    python: Path | None = ensure_with_progress() if any(plan.profile.launch.shares_folder for plan in plans) else None
    with print_progress() as report:
        runs = [launcher.launch(plan, python, wait=True, report=report) for plan in plans]
    print_places(runs)
    names = [run.name for run in runs]
    print(f"Compare them with: codex-tui compare {' '.join(names)}")
    return DONE


def print_places(runs: Sequence[RunDirectory]) -> None:
    """Print the places of `runs` in the queue of this machine, and the states of those that are trained elsewhere."""
    from codex_tui.base.text import clean
    from codex_tui.commands.queue import draw_queue, list_entries
    from codex_tui.runs.follower import snapshot

    names = {run.name for run in runs}
    if entries := [entry for entry in list_entries() if entry.name in names]:
        print("\n".join(draw_queue(entries)))
    for run in runs:
        if run.read_engine():
            watched = snapshot(run)
            print(clean(f"{run.name}  {watched.status}  {watched.reason}").rstrip())


def _confirm(args: argparse.Namespace, count: int) -> bool:
    """Ask whether so many runs are meant, unless there are few or --yes is given."""
    if args.yes or count <= MAX_UNASKED:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadInput(f"Start {count:,} runs? This needs an answer.", "Add --yes to answer it.")
    print(f"Start {count:,} runs? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print("Nothing was started.", file=sys.stderr)
    return False
