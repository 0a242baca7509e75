"""profile list, show, check."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from codex_tui.core.errors import BAD_INPUT, DONE


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("profile", help="list, show or check profiles")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="the profiles that can be picked")
    listing.set_defaults(run=run_list)
    show = actions.add_parser("show", help="a profile's text; with --json the resolved whole")
    show.set_defaults(run=run_show)
    check = actions.add_parser(
        "check",
        help="what is wrong with a profile, if anything",
        description="Names field and line of everything that is wrong. Exits with 2 where something is.",
    )
    check.set_defaults(run=run_check)
    for action in (show, check):
        action.add_argument("profile", metavar="PROFILE", help="a profile's name or file")
    for action in (listing, show, check):
        action.add_argument("--json", action="store_true", help="print JSON, for scripts")


def run_list(args: argparse.Namespace) -> int:
    from codex_tui.core.profiles import list_profiles
    from codex_tui.core.text import clean

    entries = list_profiles()
    if args.json:
        keys = ("name", "title", "shipped")
        print(json.dumps([{**{k: getattr(e, k) for k in keys}, "path": str(e.path), "ok": not e.problems}
                          for e in entries], indent=2))  # fmt: skip
        return DONE
    width = max((len(entry.name) for entry in entries), default=0)
    for entry in entries:
        origin = "shipped" if entry.shipped else "yours"
        says = f"✗ {len(entry.problems)} problem(s)" if entry.problems else entry.title
        print(clean(f"{entry.name:<{width}}  {origin:<7}  {says}"))
    return DONE


def run_show(args: argparse.Namespace) -> int:
    from codex_tui.core.profiles import checked, find_profile
    from codex_tui.core.text import clean

    path = find_profile(args.profile)
    if args.json:
        print(json.dumps(checked(path).model_dump(mode="json"), indent=2, ensure_ascii=False))
    else:
        print(clean(path.read_text(encoding="utf-8", errors="replace"), newlines=True).rstrip("\n"))
    return DONE


def run_check(args: argparse.Namespace) -> int:
    from codex_tui.core.profiles import find_profile, read_entry
    from codex_tui.core.text import clean

    path: Path = find_profile(args.profile)
    entry = read_entry(path, shipped=False)
    if args.json:
        errors = [{"field": p.field, "line": p.line, "message": p.message} for p in entry.problems]
        print(json.dumps({"ok": not errors, "errors": errors}, indent=2, ensure_ascii=False))
    elif entry.problems:
        for problem in entry.problems:
            print(clean(f"✗ {path}: {problem}"))
    else:
        print(clean(f"✓ {path} is a valid profile."))
    return BAD_INPUT if entry.problems else DONE
