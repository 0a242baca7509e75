"""data check: which rows of a dataset can be trained on, and what is wrong with the others."""

from __future__ import annotations

import argparse
import json
from typing import Any

from codex_tui.commands import data_screen
from codex_tui.core.errors import BAD_INPUT, DONE, BadInput

PROBLEMS_SHOWN = 10


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("data", help="check a dataset before a GPU hour is spent on it")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    check = actions.add_parser(
        "check",
        help="count the rows and list the bad ones",
        description='Exits with 2 where rows are bad or none is left. A row is a line such as {"instruction": "…", '
        '"response": "…"}, or {"messages": […]} with OpenAI roles.',
    )
    check.add_argument("file", metavar="FILE", help="a JSONL file")
    check.add_argument("--profile", metavar="P", help="judge by this profile: with on_bad_rows = skip, bad rows pass")
    check.add_argument("--json", action="store_true", help="print JSON, for scripts")
    check.set_defaults(run=run_check)
    data_screen.add(actions)


def run_check(args: argparse.Namespace) -> int:
    from codex_tui.core import locations
    from codex_tui.core.datasets import named, rows_of
    from codex_tui.core.profiles import checked, find_profile
    from codex_tui.core.text import clean

    skips = args.profile and checked(find_profile(args.profile)).dataset.on_bad_rows == "skip"
    path = locations.expanded(args.file)
    if not path.is_file():
        what = "not a file" if path.exists() else "no such dataset file"
        raise BadInput(f"{path}: {what}.", "Give a JSONL file.")
    found = rows_of(named(args.file))
    rows, kept, bad = len(found.rows) + len(found.problems), len(found.rows), found.problems
    if args.json:
        problems = [{"line": problem.line, "reason": problem.message} for problem in bad]
        print(json.dumps({"rows": rows, "kept": kept, "bad": problems}, indent=2))
    else:
        print(clean(f"{path}: {rows:,} rows, {kept:,} kept, {len(bad):,} bad"))
        for problem in bad[:PROBLEMS_SHOWN]:
            print(clean(f"  line {problem.line}: {problem.message}"))
        if len(bad) > PROBLEMS_SHOWN:
            print(f"  and {len(bad) - PROBLEMS_SHOWN:,} more; --json lists them all")
        if not kept:
            print('  Nothing to train on: a row is a line such as {"instruction": "…", "response": "…"}.')
    return DONE if kept and (skips or not bad) else BAD_INPUT
