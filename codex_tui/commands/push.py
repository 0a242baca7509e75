"""The command `push`: sends the adapter of a finished run, or an export of it, to the Hub."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from codex_tui.base.errors import DONE, BadInput
from codex_tui.commands.data_hub import TOKEN, add_push_options, check_push_options, pushed_as_json, say_pushed
from codex_tui.commands.options import RUN_HELP
from training.contract.run_directory import RunDirectory

EXPORTS = ("merged", "gguf")


def add(subparsers: Any) -> None:
    push = subparsers.add_parser(
        "push",
        help="push a run's adapter, or an export of it, to a private repository on the Hub",
        description="Creates the model repository as private if it does not exist. Sends the adapter, or with "
        "--export the merged model or the GGUF files that `codex-tui export` wrote, "
        "and a card with base model, dataset, profile, figures and proof; files that have not "
        f"changed are skipped. Then checks the upload. {TOKEN}",
    )
    push.add_argument("target", metavar="RUN", help=RUN_HELP)
    add_push_options(push)
    push.add_argument("--export", choices=EXPORTS, help="send this export of the run instead of its adapter")
    push.add_argument("--folder", metavar="F", help="with --export: its folder, if it was exported with --out")
    push.set_defaults(run=run_push)


def run_push(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.commands.results import fetch_results
    from codex_tui.hub import push as hub_push
    from codex_tui.hub.cards import set_licence
    from codex_tui.hub.client import parse_repo_id
    from codex_tui.runs.library import find_run
    from codex_tui.runs.outcome import read_config
    from training.contract.model_card import find_base_model

    check_push_options(args)
    if args.folder and not args.export:
        raise BadInput("--folder works only with --export.", "Use: --export gguf --folder FOLDER")
    repo, run = parse_repo_id(args.repo), find_run(args.target)
    fetch_results(run)
    files, make_model_card = _collect(run, args)
    base, base_is_repo = find_base_model(read_config(run))

    def card(old: str) -> str:
        return set_licence(make_model_card(old, repo.partition("/")[2], repo), args.licence)

    with print_progress() as report:
        local = [hub_push.hash_file(path, name, report) for name, path in files.items()]
        done = hub_push.push(repo, "model", local, card, public=args.public, report=report)
    if args.json:
        sums = {file.name: file.sha256 for file in done.files}
        print(json.dumps(pushed_as_json(done) | {"run": run.name, "base_model": base, "files": sums}, indent=2))
        return DONE
    what = {
        None: f"the adapter of {run.name} for {base}",
        "merged": f"{run.name} merged",
        "gguf": f"{run.name} as GGUF",
    }
    say_pushed(done, clean(what[args.export]))
    if not base_is_repo and not args.export:
        print("! Its base model is no repository on the Hub: others can't load the adapter.", file=sys.stderr)
    return DONE


def _collect(run: RunDirectory, args: argparse.Namespace) -> tuple[dict[str, Path], Callable[[str, str, str], str]]:
    """Find the files to send, by their names in the repository, and the function that makes their card."""
    if args.export:
        from codex_tui.export.card import make_card
        from codex_tui.export.pushing import find_export

        export = find_export(run, args.export, args.folder)
        return {name: export.folder / name for name in export.names}, make_card(run, export.kind, export.record)
    from codex_tui.hub import adapter

    files = {path.relative_to(run.adapter).as_posix(): path for path in adapter.list_adapter_files(run)}
    return files, adapter.make_card(run)
