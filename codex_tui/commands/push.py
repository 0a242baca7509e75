"""The command `push`: sends the adapter of a finished run to the Hub."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from codex_tui.base.errors import DONE
from codex_tui.commands.data_hub import TOKEN, add_push_options, check_push_options, pushed_as_json, say_pushed
from codex_tui.commands.train import RUN_HELP


def add(subparsers: Any) -> None:
    push = subparsers.add_parser(
        "push",
        help="push a run's adapter to a private repository on the Hub",
        description="Creates the model repository as private if it does not exist. Sends the adapter "
        "and a card with base model, dataset, profile and figures; files that have not "
        f"changed are skipped. Then checks the upload. {TOKEN}",
    )
    push.add_argument("target", metavar="RUN", help=RUN_HELP)
    add_push_options(push)
    push.set_defaults(run=run_push)


def run_push(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.hub import push as hub_push
    from codex_tui.hub.adapter import list_adapter_files, make_card
    from codex_tui.hub.cards import set_licence
    from codex_tui.hub.client import parse_repo_id
    from codex_tui.runs.library import find_run
    from codex_tui.runs.outcome import read_config
    from training.contract.model_card import find_base_model

    check_push_options(args)
    repo, run = parse_repo_id(args.repo), find_run(args.target)
    files, make_model_card = list_adapter_files(run), make_card(run)
    base, base_is_repo = find_base_model(read_config(run))

    def card(old: str) -> str:
        return set_licence(make_model_card(old, repo.partition("/")[2]), args.licence)

    with print_progress() as report:
        local = [hub_push.hash_file(path, path.relative_to(run.adapter).as_posix(), report) for path in files]
        done = hub_push.push(repo, "model", local, card, public=args.public, report=report)
    if args.json:
        sums = {file.name: file.sha256 for file in done.files}
        print(json.dumps(pushed_as_json(done) | {"run": run.name, "base_model": base, "files": sums}, indent=2))
        return DONE
    say_pushed(done, clean(f"the adapter of {run.name} for {base}"))
    if not base_is_repo:
        print("! Its base model is no repository on the Hub: others can't load the adapter.", file=sys.stderr)
    return DONE
