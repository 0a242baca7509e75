"""The commands that start, watch, stop and resume a run: demo, train, attach, stop, resume."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE, FAILED, BadInput
from codex_tui.commands.options import (
    RUN_HELP,
    add_exact_option,
    add_low_bandwidth_option,
    add_place_option,
    add_python_option,
    add_set_option,
    add_until_option,
    read_place,
)
from codex_tui.commands.turn import add_turn_options
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.profiles.sweep import Variant

UNTIL_HELP = (
    "have the adapter saved by 07:00 (the next one), '2026-11-29 07:00' or +6h: steps and the fall of the learning "
    "rate are fitted to the measured speed"
)


def add(subparsers: Any) -> None:
    demo = subparsers.add_parser(
        "demo",
        help="set up if needed, and fine-tune the shipped tiny model",
        description="Builds a tiny Llama and fine-tunes it with Unsloth on the shipped sample, in about a minute. It "
        "needs no GPU and downloads no model. If the training environment is missing, it is built first.",
    )
    demo.set_defaults(run=run_demo)

    train = subparsers.add_parser(
        "train",
        help="fine-tune with a profile",
        description="Starts a fine-tune in its own process and watches it. The run continues when you leave.",
    )
    train.add_argument(
        "profiles", metavar="PROFILE", nargs="+", help="a profile's name or file; several train one after the other"
    )
    train.add_argument(
        "--dataset", metavar="DATA", help="a file, folder, pattern or Hub id; replaces the profile's dataset"
    )
    train.set_defaults(run=run_train)

    attach = subparsers.add_parser(
        "attach",
        help="watch a run, live or ended",
        description="Shows a run with its whole history. Any number of viewers can watch; none of them disturbs the "
        "run.",
    )
    attach.add_argument("target", metavar="RUN", nargs="?", default="last", help=f"{RUN_HELP} (default: last)")
    attach.set_defaults(run=run_attach)

    stop = subparsers.add_parser(
        "stop",
        help="save and stop a run; the second time, end it at once",
        description="The first stop finishes the step, saves a checkpoint and the adapter, and ends the run. The "
        "second ends it at once, the third kills it. `resume` continues from the last whole checkpoint.",
    )
    stop.add_argument("target", metavar="RUN", help=RUN_HELP)
    add_exact_option(stop)
    stop.add_argument("--json", action="store_true", help="print JSON, for scripts")
    stop.set_defaults(run=run_stop)

    resume = subparsers.add_parser(
        "resume",
        help="continue a run from its last whole checkpoint",
        description="Brings a parked run back, and starts a queued or waiting one at once; a rule of [keeper] that "
        "holds then parks it again only after it was clear once. Continues a run that was stopped, failed or lost, in "
        "the same directory, from its last whole checkpoint, or from the start if it has none.",
    )
    resume.add_argument("targets", metavar="RUN", nargs="+", help=f"{RUN_HELP}; several train one after the other")
    resume.add_argument(
        "--from-start",
        action="store_true",
        help="start over when every checkpoint is damaged; the damaged ones are kept",
    )
    add_exact_option(resume)
    resume.add_argument("--json", action="store_true", help="print JSON and leave, instead of watching the run")
    resume.set_defaults(run=run_resume)
    add_until_option(resume, "another time by which the adapter must be saved, or 'never' (default: the run's own)")

    for command in (demo, train):
        add_until_option(command, UNTIL_HELP)
        command.add_argument("--name", metavar="NAME", help="the run's name (default: the profile's name and a number)")
        add_place_option(command, "where to train")
        add_set_option(command)
        command.add_argument(
            "--sweep",
            metavar="TABLE.FIELD=VALUE,VALUE",
            action="append",
            default=[],
            help="train a run for each value: --sweep lora.r=8,16; repeated, for each combination",
        )
        command.add_argument("-y", "--yes", action="store_true", help="start a large number of runs without asking")
    for command in (demo, train, resume):
        add_turn_options(command)
    for command in (demo, train, attach, resume):
        add_python_option(command, "train and chat with")
    for command in (demo, train, attach, resume):
        command.add_argument(
            "--headless", action="store_true", help="print plain progress lines instead of opening the app"
        )
        add_low_bandwidth_option(command)


def run_demo(args: argparse.Namespace) -> int:
    from codex_tui.base import locations

    # A profile of the user may have the same name.
    args.profiles, args.dataset = [str(locations.shipped_profiles() / "demo.toml")], None
    return run_train(args)


def run_train(args: argparse.Namespace) -> int:
    from codex_tui import launcher
    from codex_tui.base.deadline import parse_deadline
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.commands.setup import ensure_with_progress
    from codex_tui.commands.turn import choose_turn, start_series
    from codex_tui.launch_series import plan_series
    from codex_tui.profiles.overrides import parse_overrides
    from codex_tui.profiles.sweep import parse_sweep
    from codex_tui.runs.queue import describe_busy

    overrides, variants = parse_overrides(args.set), parse_sweep(args.sweep)
    until = parse_deadline(args.until) if args.until is not None else None
    _refuse_ambiguous(args, overrides, variants)
    place = read_place(args, overrides, variants[0].overrides)
    with print_progress() as report:
        series = plan_series(
            args.profiles, variants, dataset=args.dataset, name=args.name, overrides=overrides | place, until=until,
            report=report,
        )  # fmt: skip
    if len(series.plans) > 1:
        return start_series(series, args)
    [plan] = series.plans
    for warning in plan.warnings:
        print(f"{clean(warning)} The run starts anyway.", file=sys.stderr)
    for note in filter(None, (plan.fit_note, plan.download_note)):
        print(clean(note), file=sys.stderr)
    if where := plan.profile.launch.place:
        print(f"It trains on {clean(where)}.", file=sys.stderr)
    wait = choose_turn(args, describe_busy(plan.profile))
    if wait is None:
        return FAILED
    # It may build the environment for minutes, so it comes after all that can be refused.
    python = ensure_with_progress() if plan.profile.launch.shares_folder else None
    with print_progress() as report:
        run = launcher.launch(plan, python, wait=wait, report=report)
    return _watch(run, args)


def _refuse_ambiguous(args: argparse.Namespace, overrides: dict[str, Any], variants: list[Variant]) -> None:
    """Raise BadInput if an option has two meanings: a name for several profiles, two values for one field."""
    if args.name and len(args.profiles) > 1:
        raise BadInput("--name names a single run.", "Leave it out, and each run gets the name of its profile.")
    if args.until and len(args.profiles) * len(variants) > 1:
        raise BadInput("--until is for a single run.", "Give each profile its time with training.max_hours.")
    if both := next((field for field in variants[0].overrides if field in overrides), None):
        raise BadInput(f"--set and --sweep both give {both}.", f"Leave out --set {both}.")


def run_attach(args: argparse.Namespace) -> int:
    from codex_tui.runs.library import find_run

    return _watch(find_run(args.target), args)


def run_resume(args: argparse.Namespace) -> int:
    from codex_tui import launcher
    from codex_tui.base.deadline import parse_deadline_change
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.commands.results import print_fetch
    from codex_tui.commands.turn import print_places
    from codex_tui.runs.library import find_run
    from codex_tui.workers.process import describe_unused_python

    runs = list({run.path: run for run in (find_run(target, exact=args.exact) for target in args.targets)}.values())
    if args.now and len(runs) > 1:
        raise BadInput("--now starts a single run.", "Leave it out: several runs train one after the other.")
    until = parse_deadline_change(args.until) if args.until is not None else None
    for run in runs:  # before the first of them starts, and before anybody is asked about the card
        with print_fetch(run):
            launcher.check_resumable(run)
    begun = []
    for run in runs:
        wait = True if len(runs) > 1 else _choose_turn_to_resume(args, run)
        if wait is None:
            return FAILED
        before = run.read_process()
        with print_progress() as report:
            point = launcher.resume(run, from_start=args.from_start, until=until, wait=wait, report=report)
        begun.append({"name": run.name, "step": point.step, "attempt": before.attempt + 1 if before else 1})
        if point.damaged:
            print(clean(f"{point.damaged} {run.name} continues {point.start}."), file=sys.stderr)
        if notice := describe_unused_python(run):
            print(clean(notice), file=sys.stderr)
    if args.json:
        print(json.dumps(begun, indent=2))
        return DONE
    if len(runs) > 1:
        print_places(runs)
        return DONE
    return _watch(runs[0], args)


def _choose_turn_to_resume(args: argparse.Namespace, run: RunDirectory) -> bool | None:
    """Return whether the run waits for its card, or None if the person wants neither. A keeper that holds the run for
    another reason than the queue takes it to its old place."""
    from codex_tui.commands.turn import choose_turn
    from codex_tui.runs.follower import snapshot
    from codex_tui.runs.queue import describe_busy_for

    if not run.is_kept():
        return choose_turn(args, describe_busy_for(run))
    held = snapshot(run).held
    return choose_turn(args, held.reason) if held and held.state == "queued" else not args.now


def run_stop(args: argparse.Namespace) -> int:
    from codex_tui import stopping
    from codex_tui.base.text import clean
    from codex_tui.commands.results import print_fetch
    from codex_tui.runs.library import find_run

    run = find_run(args.target, exact=args.exact)
    said = {
        "save": "finishes its step, saves a checkpoint and the adapter, and stops. A second stop ends it at once.",
        "terminate": "ends at once, without saving more. A third stop kills it.",
        "kill": "was killed. Its checkpoints are safe.",
        "end": "ends now. It had no trainer, so nothing is lost.",
    }
    with print_fetch(run):
        request = stopping.stop(run)
    if args.json:
        print(json.dumps({"name": run.name, "request": request}, indent=2))
    else:
        print(f"{clean(run.name)} {said[request]}")
    return DONE


def _watch(run: RunDirectory, args: argparse.Namespace) -> int:
    if args.headless or not sys.stdout.isatty():
        from codex_tui.commands.headless import follow

        return follow(run)
    from codex_tui.commands.open_app import open_app

    return open_app(run, low_bandwidth=args.low_bandwidth)
