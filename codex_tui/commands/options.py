"""Options that several commands have."""

from __future__ import annotations

import argparse


def add_dataset(parser: argparse.ArgumentParser) -> None:
    """FILE and `--profile`: a dataset, and by which profile to read it."""
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="JSONL, JSON, CSV or Parquet files, folders, patterns, or owner/name of the Hub; none: the profile's",
    )
    parser.add_argument("--profile", metavar="P", help="read and judge the rows by this profile, a name or a file")


def add_low_bandwidth_option(parser: argparse.ArgumentParser) -> None:
    """`--low-bandwidth`, for `codex_tui.commands.open_app.open_app`; what stands before the command counts as well."""
    parser.add_argument(
        "--low-bandwidth",
        action=argparse.BooleanOptionalAction,
        default=argparse.SUPPRESS,
        help="send less to the terminal, less often and in 256 colours; by itself over SSH",
    )


def add_set_option(parser: argparse.ArgumentParser) -> None:
    """`--set`, as a list of texts in `args.set`, for `codex_tui.profiles.overrides.parse_overrides`."""
    parser.add_argument(
        "--set",
        metavar="TABLE.FIELD=VALUE",
        action="append",
        default=[],
        help="a field of the profile, for this once: --set lora.r=8; repeat it for more",
    )
