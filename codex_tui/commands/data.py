"""The command `data check`: which rows can be used for training, and what a profile does with them."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import BAD_INPUT, DONE, BadInput
from codex_tui.commands import data_hub, data_lengths, data_view
from codex_tui.commands.options import add_dataset, add_group

if TYPE_CHECKING:
    from codex_tui.base.progress import OnProgress
    from codex_tui.data.target import Target


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "data",
        help="check a dataset before you spend a GPU hour on it; mirror it on the Hub",
        description="Checks the rows of a dataset, measures their lengths, shows them, and mirrors them on the Hub.",
    )
    actions = add_group(parser)
    check = actions.add_parser(
        "check",
        help="count the rows, list the bad ones, and report tokens and steps for a profile",
        description="Reads every row and reports shape, columns, bad rows and duplicates. With --profile it also "
        "reports tokens, what the cut at max_seq_length costs, steps an epoch, and warnings with their "
        'remedies. Exits with 2 if rows are bad (unless the profile sets on_bad_rows = "skip") or if no row'
        " is left.",
    )
    add_dataset(check)
    check.add_argument("--dataset-revision", metavar="R", help="a branch, tag or commit of a dataset on the Hub")
    check.add_argument("--json", action="store_true", help="print JSON, for scripts")
    check.set_defaults(run=run_check)
    data_lengths.add(actions)
    data_view.add(actions)
    data_hub.add(actions)


def run_check(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.commands.data_report import as_json, lines
    from codex_tui.commands.progress import print_progress
    from codex_tui.data.check import check_dataset

    with print_progress() as report:
        result = check_dataset(_target(args, report), report)
    if args.json:
        as_json(result, sys.stdout)
    else:
        for line in lines(result):
            print(clean(line))
    return DONE if result.passes else BAD_INPUT


def _target(args: argparse.Namespace, report: OnProgress) -> Target:
    """Raises BadInput, CodexError."""
    from codex_tui.data.target import Target
    from codex_tui.profiles.library import find_profile

    if args.profile:
        return Target.from_profile(find_profile(args.profile), args.files, args.dataset_revision, report)
    if not args.files:
        raise BadInput("No dataset is named.", "Give one: codex-tui data check FILE")
    return Target.from_files(args.files, args.dataset_revision, report)
