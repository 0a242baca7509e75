"""The command `data view`: opens the app on the rows of a dataset."""

from __future__ import annotations

import argparse
from typing import Any

from codex_tui.commands.options import add_dataset, add_low_bandwidth_option


def add(actions: Any) -> None:
    parser = actions.add_parser(
        "view",
        help="browse the rows, raw and as the model sees them, and see where they are cut",
        description="Opens the app on the rows: what the model learns, where max_seq_length cuts a row, and totals for "
        "the dataset. Without a profile the rows are shown raw, because the profile names the model that "
        "counts tokens.",
    )
    add_dataset(parser)
    add_low_bandwidth_option(parser)
    parser.set_defaults(run=run_view)


def run_view(args: argparse.Namespace) -> int:
    from codex_tui.base.errors import BadInput
    from codex_tui.commands.open_app import open_app
    from codex_tui.commands.progress import print_progress
    from codex_tui.data.target import Target
    from codex_tui.profiles.library import find_profile

    path = find_profile(args.profile) if args.profile else None
    if path is None and not args.files:
        raise BadInput("No dataset is named.", "Give a file, or a profile that names one: --profile P")
    with print_progress() as report:
        target = (
            Target.from_profile(path, args.files, None, report) if path else Target.from_files(args.files, None, report)
        )
    otherwise = "codex-tui data check FILE --profile P"
    return open_app(None, data=target, low_bandwidth=args.low_bandwidth, otherwise=otherwise)
