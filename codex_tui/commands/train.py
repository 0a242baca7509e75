"""demo, train, attach, stop, resume: a run's life from the command line."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from codex_tui.commands.options import add_low_bandwidth_option, add_set_option
from training.contract.run_directory import RunDirectory

RUN_HELP = "a run's name, a unique beginning of it, or 'last'"


def add(subparsers: Any) -> None:
    demo = subparsers.add_parser(
        "demo",
        help="set up if need be and fine-tune the shipped tiny model, for real",
        description="Builds a tiny Llama and fine-tunes it with Unsloth on the shipped sample, in a minute or so. "
        "It needs no GPU and no download of a model; the training environment is set up first where it is missing.",
    )
    demo.set_defaults(run=run_demo)

    train = subparsers.add_parser(
        "train",
        help="fine-tune what a profile says",
        description="Starts a fine-tune in a process of its own and watches it. The run goes on when the viewer ends.",
    )
    train.add_argument("profile", metavar="PROFILE", help="a profile's name or file; see: codex-tui profile list")
    train.add_argument("--dataset", metavar="DATA", help="a file, folder, pattern or Hub id instead of the profile's")
    train.set_defaults(run=run_train)

    attach = subparsers.add_parser(
        "attach",
        help="watch a run, live or ended",
        description="Shows a run, history complete. Any number of viewers may come and go; none of them disturbs it.",
    )
    attach.add_argument("target", metavar="RUN", nargs="?", default="last", help=f"{RUN_HELP} (default: last)")
    attach.set_defaults(run=run_attach)

    stop = subparsers.add_parser(
        "stop",
        help="save and end a run; a second time: end it at once",
        description="The first stop ends the step, saves a checkpoint and the adapter, and ends the run; a second one "
        "ends it at once, a third kills it. `resume` goes on from the last whole checkpoint.",
    )
    stop.add_argument("target", metavar="RUN", help=RUN_HELP)
    stop.set_defaults(run=run_stop)

    resume = subparsers.add_parser(
        "resume",
        help="go on from the last whole checkpoint",
        description="Goes on with a run that was stopped, failed or lost, in the same directory, from its last whole "
        "checkpoint; from the start where there is none.",
    )
    resume.add_argument("target", metavar="RUN", help=RUN_HELP)
    resume.add_argument(
        "--from-start", action="store_true", help="begin anew where every checkpoint is damaged; they are kept"
    )
    resume.set_defaults(run=run_resume)

    for command in (demo, train):
        command.add_argument("--name", metavar="NAME", help="the run's name (default: the profile's and a number)")
        add_set_option(command)
    for command in (demo, train, resume):
        command.add_argument(
            "--python", metavar="PATH", type=Path, help="train with this interpreter, or environment folder"
        )
    for command in (demo, train, attach, resume):
        command.add_argument("--headless", action="store_true", help="plain progress lines instead of the app")
        add_low_bandwidth_option(command)


def run_demo(args: argparse.Namespace) -> int:
    args.profile, args.dataset = "demo", None
    return run_train(args)


def run_train(args: argparse.Namespace) -> int:
    from codex_tui import launcher
    from codex_tui.base.errors import EnvironmentMissing
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.commands.setup import ensure_with_progress
    from codex_tui.data import sources
    from codex_tui.machine import forecast
    from codex_tui.profiles import library
    from codex_tui.profiles.overrides import parse_overrides

    profile = library.find_profile(args.profile)
    launcher.check_name(args.name)
    overrides = parse_overrides(args.set)
    settings = library.checked(profile, overrides)  # before a set-up of minutes, not after
    with print_progress() as report:
        source = sources.source_of(settings, profile, args.dataset, report)
    checked = None
    with suppress(EnvironmentMissing):  # a Parquet file is looked at when it is built
        sources.check_rows(source, settings.dataset)
        checked = source
    for warning in (launcher.check_memory(settings, profile, overrides), forecast.disk_warning(settings, profile)):
        if warning:
            print(f"{clean(warning)} It is tried all the same.", file=sys.stderr)
    python = ensure_with_progress(args.python)
    run = launcher.launch(
        profile, dataset=args.dataset, name=args.name, python=python, overrides=overrides, source=checked
    )
    return _watch(run, args)


def run_attach(args: argparse.Namespace) -> int:
    from codex_tui.runs.library import find_run

    return _watch(find_run(args.target), args)


def run_resume(args: argparse.Namespace) -> int:
    from codex_tui import launcher
    from codex_tui.base.text import clean
    from codex_tui.runs.library import find_run

    run = find_run(args.target)
    point = launcher.resume(run, args.python, from_start=args.from_start)
    if point.damaged:
        print(clean(f"{point.damaged} {run.name} goes on {point.start}."), file=sys.stderr)
    return _watch(run, args)


def run_stop(args: argparse.Namespace) -> int:
    from codex_tui import launcher
    from codex_tui.base.text import clean
    from codex_tui.runs.library import find_run

    run = find_run(args.target)
    said = {
        "save": "saves what it has trained, a checkpoint and the adapter, then ends. A second stop ends it at once.",
        "terminate": "is told to end at once. A further stop kills it.",
        "kill": "was killed; what its checkpoints hold is safe.",
    }
    print(f"{clean(run.name)} {said[launcher.stop(run)]}")
    return 0


def _watch(run: RunDirectory, args: argparse.Namespace) -> int:
    if args.headless or not sys.stdout.isatty():
        from codex_tui.commands.headless import follow

        return follow(run)
    from codex_tui.commands.open_app import open_app

    return open_app(run, low_bandwidth=args.low_bandwidth)
