"""Options that several commands share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from codex_tui.base.errors import BAD_INPUT, BadInput

MIN_CARD_MIB, MAX_CARD_MIB = 256, 10_000_000

RUN_HELP = "a run's name, the beginning of a name if only one run has it, or 'last'"


def add_group(parser: argparse.ArgumentParser) -> Any:
    """Return where to add the commands below `parser`. Without one of them, the help of `parser` is printed."""

    def print_help(_: argparse.Namespace) -> NoReturn:
        parser.print_help(sys.stderr)
        parser.exit(BAD_INPUT)

    parser.set_defaults(run=print_help)
    return parser.add_subparsers(title="actions", metavar="ACTION")


def add_dataset(parser: argparse.ArgumentParser) -> None:
    """Add FILE and `--profile`: a dataset, and the profile that says how to read it."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="JSONL, JSON, CSV or Parquet files, folders, patterns, or owner/name on the Hub (default: the "
        "profile's dataset)",
    )
    parser.add_argument("--profile", metavar="P", help="use this profile to read and check the rows: a name or a file")


def add_card_option(parser: argparse.ArgumentParser) -> None:
    """Add `--card`. The command passes `args.card` to `check_card`."""
    parser.add_argument(
        "--card", metavar="MIB", type=int, help="forecast for a card of this size, in MiB, instead of this machine's"
    )


def check_card(mib: int | None) -> None:
    """Raise BadInput if no card has the size that --card gives."""
    if mib is not None and not MIN_CARD_MIB <= mib <= MAX_CARD_MIB:
        raise BadInput(f"--card takes {MIN_CARD_MIB:,} to {MAX_CARD_MIB:,} MiB.", "Use --card 4096 for a 4 GB card.")


def add_low_bandwidth_option(parser: argparse.ArgumentParser) -> None:
    """Add `--low-bandwidth`, also before the command. `codex_tui.commands.open_app.open_app` uses it."""
    parser.add_argument(
        "--low-bandwidth",
        action=argparse.BooleanOptionalAction,
        default=argparse.SUPPRESS,
        help="send less to the terminal, less often and in 256 colours (automatic over SSH)",
    )


def add_python_option(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add `--python`. `codex_tui.cli.main` lets it replace the interpreter of the settings."""
    parser.add_argument("--python", metavar="PATH", type=Path, help=f"{verb} this interpreter or environment folder")


def add_set_option(parser: argparse.ArgumentParser) -> None:
    """Add `--set`. `codex_tui.profiles.overrides.parse_overrides` reads the list of texts in `args.set`."""
    parser.add_argument(
        "--set",
        metavar="TABLE.FIELD=VALUE",
        action="append",
        default=[],
        help="set a field of the profile for this run: --set lora.r=8; can be repeated",
    )


def add_place_option(parser: argparse.ArgumentParser, does: str) -> None:
    """Add `--on`. `read_place` reads it."""
    parser.add_argument(
        "--on",
        metavar="PLACE",
        help=f"{does}: local, slurm, or a remote (codex-tui remote list); replaces the profile's engine",
    )


def read_place(args: argparse.Namespace, *given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the profile that `--on` gives. Raises BadInput if it names no place, or if other options
    give one of these fields: `given` has their fields."""
    from codex_tui.profiles.overrides import parse_place

    place = parse_place(args.on) if args.on is not None else {}
    if both := next((field for field in place if any(field in fields for fields in given)), None):
        raise BadInput(f"--on and another option both give {both}.", "Leave out one of them.")
    return place


def add_json_option(parser: argparse.ArgumentParser, help: str = "print JSON, for scripts") -> None:
    """Add `--json` to a command below one that has it too. It counts before this command as well as after it."""
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=help)


def add_exact_option(parser: argparse.ArgumentParser) -> None:
    """Add `--exact`. The command passes `args.exact` to `codex_tui.runs.library.find_run`."""
    parser.add_argument("--exact", action="store_true", help="RUN is the whole name of a run, for scripts")


def add_until_option(parser: argparse.ArgumentParser, help: str) -> None:
    """Add `--until`. `codex_tui.base.deadline` reads `args.until`."""
    parser.add_argument("--until", metavar="TIME", help=help)
