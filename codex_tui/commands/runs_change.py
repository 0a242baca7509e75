"""The commands `runs rm`, `runs rename`, `runs note` and `runs clean`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE, FAILED, BadInput
from codex_tui.commands.options import RUN_HELP, add_json_option

if TYPE_CHECKING:
    from training.contract.run_directory import RunDirectory


def add(subparsers: Any) -> None:
    rm = subparsers.add_parser(
        "rm",
        help="delete runs with all their files",
        description="Deletes runs with all their files: adapters, checkpoints, events and logs. Says first how much "
        "space that frees, and asks. A run that trains is refused.",
    )
    rm.add_argument("names", metavar="RUN", nargs="+", help="the whole name of a run")
    places = rm.add_mutually_exclusive_group()
    places.add_argument(
        "--everywhere", action="store_true", help="of a run that a remote trained, delete the files over there too"
    )
    places.add_argument(
        "--here",
        action="store_true",
        help="of a run that a remote trained, delete the files here alone, even if the remote does not answer",
    )
    _add_yes(rm)
    rm.set_defaults(run=run_rm)
    rename = subparsers.add_parser(
        "rename",
        help="give a run that has ended another name",
        description="Gives a run that has ended another name, which is also the name of its folder.",
    )
    rename.add_argument("name", metavar="RUN", help="the whole name of the run")
    rename.add_argument("new_name", metavar="NEW_NAME", help="letters, digits, dots, dashes and underscores")
    add_json_option(rename)
    rename.set_defaults(run=run_rename)
    note = subparsers.add_parser(
        "note",
        help="write a note to a run, or print it",
        description="Writes a note to a run, in place of the note that it has. Without TEXT, prints the note.",
    )
    note.add_argument("target", metavar="RUN", help=RUN_HELP)
    note.add_argument("text", metavar="TEXT", nargs="?", help='the note, one line; "" deletes it')
    add_json_option(note)
    note.set_defaults(run=run_note)
    clean = subparsers.add_parser(
        "clean",
        help="delete checkpoints that neither a resume nor a chat needs",
        description="Deletes the checkpoints of ended runs that neither a resume nor a chat needs. Says first which "
        "these are and how much space that frees, and asks.",
    )
    clean.add_argument("names", metavar="RUN", nargs="*", help="the whole name of a run (all that have ended)")
    _add_yes(clean)
    clean.set_defaults(run=run_clean)


def _add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    add_json_option(parser, "print JSON, for scripts; needs --yes")


def run_rm(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean, format_size, pluralize
    from codex_tui.commands.results import print_fetch
    from codex_tui.engines.refresh import refresh
    from codex_tui.engines.registry import find_engine
    from codex_tui.runs.changes import delete_run, refuse_if_live
    from codex_tui.runs.library import find_exact_run
    from codex_tui.runs.summary import measure_folder

    runs = _unique([find_exact_run(name) for name in args.names])
    for run in runs:
        if not args.here:
            with print_fetch(run):
                refresh(run)
        refuse_if_live(run, allow_unreachable=args.here)
    sizes = [measure_folder(run.path) for run in runs]
    if not args.json:
        for run, size in zip(runs, sizes, strict=True):
            print(f"{clean(run.name)}  {format_size(size)}", file=sys.stderr)
    if not _confirm(args, f"Delete {pluralize(len(runs), 'run')} and free {format_size(sum(sizes))}?"):
        return FAILED
    mirrors = [run for run in runs if run.is_mirror()]
    everywhere = _choose_everywhere(args, mirrors)
    freed = {}
    for run in runs:
        if everywhere and run in mirrors:  # first, because nothing is deleted here if that fails
            find_engine(run).delete(run)
        freed[run.name] = delete_run(run, allow_unreachable=args.here)
        if not args.json:
            print(f"Deleted {clean(run.name)}: {format_size(freed[run.name])} freed.", flush=True)
    if args.json:
        print(json.dumps({"deleted": list(freed), "freed_bytes": sum(freed.values())}, indent=2))
    return DONE


def _choose_everywhere(args: argparse.Namespace, mirrors: list[RunDirectory]) -> bool:
    """Return whether the files on remotes are deleted too. Asks if no option says it."""
    from codex_tui.base.text import clean

    if not mirrors or args.here or args.everywhere or args.yes:
        return bool(args.everywhere)
    from codex_tui.runs.engine_reason import name_place_of_run

    hosts = sorted({name_place_of_run(run) for run in mirrors})
    return _ask(f"Delete their files and checkpoints on {clean(' and '.join(hosts))} too?")


def run_rename(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.commands.results import print_fetch
    from codex_tui.engines.refresh import refresh
    from codex_tui.runs.changes import rename_run
    from codex_tui.runs.library import find_exact_run

    run = find_exact_run(args.name)
    with print_fetch(run):
        refresh(run)
    renamed = rename_run(run, args.new_name)
    if args.json:
        print(json.dumps({"name": renamed.name, "old_name": run.name}, indent=2))
    else:
        print(f"{clean(run.name)} is now called {renamed.name}.")
    return DONE


def run_note(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.runs.changes import write_note
    from codex_tui.runs.facts import read_note
    from codex_tui.runs.library import find_run

    run = find_run(args.target)
    if args.text is not None:
        write_note(run, args.text)
    note, name = read_note(run), clean(run.name)
    if args.json:
        print(json.dumps({"name": run.name, "note": note}, indent=2))
    elif args.text is not None:
        print(f"{name} now has the note: {note}" if note else f"{name} has no note now.")
    else:
        print(note or f"{name} has no note.")
    return DONE


def run_clean(args: argparse.Namespace) -> int:
    from codex_tui.base.progress import Progress
    from codex_tui.base.text import clean, format_size
    from codex_tui.commands.progress import print_progress
    from codex_tui.commands.results import print_fetch
    from codex_tui.engines.refresh import refresh
    from codex_tui.runs.changes import refuse_if_live
    from codex_tui.runs.cleanup import delete_unneeded, find_unneeded
    from codex_tui.runs.library import find_exact_run, list_run_directories
    from codex_tui.runs.summary import summarise

    runs = _unique([find_exact_run(name) for name in args.names])
    for run in runs:
        with print_fetch(run):
            refresh(run)
        refuse_if_live(run)
    runs = runs or list_run_directories()
    unneeded_of = {}
    with print_progress() as report:
        for number, run in enumerate(runs):
            report(Progress("checking the checkpoints", number, len(runs), "runs", run.name))
            if (unneeded := find_unneeded(run, summarise(run))).folders:
                unneeded_of[run] = unneeded
    if not args.json:
        for run, unneeded in unneeded_of.items():
            print(f"{clean(run.name)}  {format_size(unneeded.size)}: {clean(unneeded.describe())}", file=sys.stderr)
    if not unneeded_of and not args.json:
        print("No checkpoint can go: a resume or a chat needs each of them.")
        return DONE
    size = sum(unneeded.size for unneeded in unneeded_of.values())
    if unneeded_of and not _confirm(args, f"Delete these checkpoints and free {format_size(size)}?"):
        return FAILED
    deleted = {run.name: delete_unneeded(run, summarise) for run in unneeded_of}
    freed = sum(unneeded.size for unneeded in deleted.values())
    if args.json:
        names = {name: [path.name for path in unneeded.folders] for name, unneeded in deleted.items()}
        print(json.dumps({"deleted": names, "freed_bytes": freed}, indent=2))
    else:
        print(f"{format_size(freed)} freed.")
    return DONE


def _unique(runs: list[RunDirectory]) -> list[RunDirectory]:
    return list({run.path: run for run in runs}.values())


def _confirm(args: argparse.Namespace, question: str) -> bool:
    """Ask the person, unless --yes is given. Raises BadInput if there is no terminal to ask on."""
    if args.yes:
        return True
    if args.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadInput(f"{question} This needs an answer.", "Add --yes to answer it.")
    if _ask(question):
        return True
    print("Nothing was deleted.", file=sys.stderr)
    return False


def _ask(question: str) -> bool:
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
