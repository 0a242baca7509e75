"""The commands `data push`, `data pull` and `data status`: a dataset and its mirror on the Hub."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE, BadInput

if TYPE_CHECKING:
    from codex_tui.hub.push import PushResult

REPO_HELP = "the repository on the Hub"
TOKEN = "The token comes from HF_TOKEN or `hf auth login`."


def add(actions: Any) -> None:
    push = actions.add_parser(
        "push",
        help="push a data file to a private repository on the Hub",
        description="Creates the dataset repository as private if it does not exist. Sends the file "
        "and a card with its rows, shape and checksum; files that have not changed are "
        f"skipped. Then checks the upload. {TOKEN}",
    )
    push.add_argument("file", metavar="FILE", help="a JSONL, JSON or CSV file")
    add_push_options(push)
    push.set_defaults(run=run_push)

    pull = actions.add_parser(
        "pull",
        help="download a dataset from the Hub; it can then be used offline",
        description=f"Downloads the data files into the Hub's cache. An interrupted download continues. {TOKEN}",
    )
    pull.add_argument("repo", metavar="OWNER/NAME", help=REPO_HELP)
    pull.add_argument("--revision", metavar="R", help="a branch, tag or commit (default: main)")
    pull.add_argument("--to", metavar="FOLDER", help="also copy the files here; a file that differs is not replaced")
    pull.add_argument("--replace", action="store_true", help="with --to: replace files that differ")
    pull.add_argument("--json", action="store_true", help="print JSON, for scripts")
    pull.set_defaults(run=run_pull)

    status = actions.add_parser(
        "status",
        help="compare a data file with its mirror",
        description=f"Compares the rows and the checksum, and says which copy is newer. {TOKEN}",
    )
    status.add_argument("file", metavar="FILE", help="a JSONL, JSON or CSV file")
    status.add_argument("repo", metavar="OWNER/NAME", help=REPO_HELP)
    status.add_argument("--json", action="store_true", help="print JSON, for scripts")
    status.set_defaults(run=run_status)


def add_push_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `data push` and `push` share."""
    parser.add_argument("repo", metavar="OWNER/NAME", help=REPO_HELP)
    parser.add_argument("--public", action="store_true", help="let everyone read it; needs --yes-public, too")
    parser.add_argument("--yes-public", action="store_true", help="confirm --public")
    parser.add_argument("--licence", "--license", metavar="ID", help="the card's licence, such as cc-by-4.0")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def check_push_options(args: argparse.Namespace) -> None:
    """Check the options before anything is read or sent. Raises BadInput."""
    from codex_tui.hub.cards import is_licence

    if args.public != args.yes_public:
        given, missing = ("--public", "--yes-public") if args.public else ("--yes-public", "--public")
        raise BadInput(
            f"{given} alone makes nothing public, because publishing can't be undone.",
            f"If everyone may read it, add {missing}. Without {given} it stays private.",
        )
    if args.licence is not None and not is_licence(args.licence):
        raise BadInput(
            f"{args.licence!r} is not a licence identifier.", "Use one such as cc-by-4.0, mit, apache-2.0 or other."
        )


def run_push(args: argparse.Namespace) -> int:
    from codex_tui.base.text import pluralize
    from codex_tui.commands.progress import print_progress
    from codex_tui.hub import cards, compare
    from codex_tui.hub import push as hub_push
    from codex_tui.hub.client import parse_repo_id

    check_push_options(args)
    repo, path = parse_repo_id(args.repo), _file(args.file)
    with print_progress() as report:
        content = compare.count_rows(path, report)
        if not content.rows:
            raise BadInput(f"{path} has no rows.", "Add rows to it, then push it again.")
        local = hub_push.hash_file(path, path.name, report)

        def card(old: str) -> str:
            return cards.make_dataset_card(old, repo, local.name, local.sha256, local.size, content, args.licence)

        done = hub_push.push(repo, "dataset", [local], card, public=args.public, report=report)
    if args.json:
        print(json.dumps(pushed_as_json(done) | {"rows": content.rows, "sha256": local.sha256}, indent=2))
        return DONE
    say_pushed(done, f"{pluralize(content.rows, 'row')}, sha256 {local.sha256}")
    if content.bad:
        print(
            f"! {content.bad:,} of the rows can't be used for training. List them: codex-tui data check FILE",
            file=sys.stderr,
        )
    return DONE


def pushed_as_json(done: PushResult) -> dict[str, Any]:
    return {
        "repo": done.repo,
        "url": done.url,
        "private": done.private,
        "created": done.created,
        "made_public": done.published,
        "sent": list(done.sent),
        "bytes_sent": done.bytes_sent,
        "revision": done.revision,
    }


def say_pushed(done: PushResult, meaning: str) -> None:
    from codex_tui.base.text import clean, format_size

    seen = "private" if done.private else "public"
    if done.created:
        print(f"Created {done.repo} ({seen}).")
    if done.sent:
        print(clean(f"Sent {', '.join(done.sent)} ({format_size(done.bytes_sent)}), and checked the upload."))
    else:
        print("Nothing to send: the repository has the same files.")
    if done.published:
        print(f"{done.repo} was private. It is public now.")
    print(clean(f"{done.repo} ({seen}) at revision {done.revision[:12]}: {meaning}"))
    print(clean(done.url))


def run_pull(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean, pluralize
    from codex_tui.commands.progress import print_progress
    from codex_tui.hub import compare, download

    with print_progress() as report:
        dataset = download.fetch(args.repo, args.revision, report)
        files = download.copy_files(dataset, _path(args.to), replace=args.replace) if args.to else dataset.files
        rows: list[int | None] = []
        for path in dataset.files:
            try:
                rows.append(compare.count_rows(path, report).rows)
            except BadInput:  # Parquet, which is read by the training environment
                rows.append(None)
    if args.json:
        listed = [{"path": str(path), "rows": count} for path, count in zip(files, rows, strict=True)]
        print(
            json.dumps(
                {"repo": dataset.repo, "revision": dataset.revision, "offline": dataset.offline, "files": listed}
            )
        )
        return DONE
    if dataset.offline:
        print("! The Hub can't be reached. These files are from an earlier download.", file=sys.stderr)
    for path, count in zip(files, rows, strict=True):
        print(clean(f"{path}: {'Parquet' if count is None else pluralize(count, 'row')}"))
    print(f"{dataset.repo} at revision {dataset.revision}")
    return DONE


def run_status(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.hub import compare
    from codex_tui.hub import push as hub_push
    from codex_tui.hub.client import parse_repo_id

    repo, path = parse_repo_id(args.repo), _file(args.file)
    with print_progress() as report:
        comparison = compare.compare(repo, hub_push.hash_file(path, path.name, report), report)
    here, there = comparison.local, comparison.remote
    if args.json:
        local = {"file": str(path), "rows": comparison.local_rows, "sha256": here.sha256, "bytes": here.size}
        remote = there and {
            "file": there.name,
            "rows": there.rows,
            "sha256": there.sha256,
            "bytes": there.size,
            "revision": there.revision,
            "modified": there.modified,
            "private": there.private,
        }
        local["modified"] = comparison.local_modified
        print(json.dumps({"repo": repo, "newer": comparison.newer, "local": local, "remote": remote}, indent=2))
        return DONE
    print(clean(f"local  {_facts(comparison.local_rows, here.sha256, comparison.local_modified)}  {path}"))
    if there is None:
        print(clean(f"Hub    {repo} has no file {here.name}."))
    else:
        seen = f"{repo}/{there.name} at {there.revision[:12]}, {'private' if there.private else 'public'}"
        print(clean(f"Hub    {_facts(there.rows, there.sha256, there.modified)}  {seen}"))
    print(
        {
            "same": "Both are the same.",
            "local": "The local file is newer. Push it: codex-tui data push FILE OWNER/NAME",
            "remote": "The file on the Hub is newer. Download it: codex-tui data pull OWNER/NAME",
            "unknown": "They differ. It is unknown which one is newer.",
        }[comparison.newer]
    )
    return DONE


def _facts(rows: int | None, sha256: str | None, modified: float | None) -> str:
    from datetime import datetime

    from codex_tui.base.text import pluralize

    when = "unknown date" if modified is None else datetime.fromtimestamp(modified).strftime("%Y-%m-%d %H:%M")
    return f"{'? rows' if rows is None else pluralize(rows, 'row')}  sha256 {(sha256 or '?')[:12]}  {when}"


def _file(text: str) -> Any:
    from training.dataset.formats import SUFFIXES

    path = _path(text)
    if not path.is_file():
        problem = "not a file" if path.exists() else "no such data file"
        raise BadInput(f"{path}: {problem}.", "Give a JSONL, JSON or CSV file.")
    mirrored = [suffix for suffix, kind in SUFFIXES.items() if kind != "parquet"]  # whose rows the app can count
    if path.suffix.lower() not in mirrored:
        raise BadInput(
            f"{path} can't be mirrored: its name must end in one of {', '.join(mirrored)}.",
            "Rename or convert the file.",
        )
    return path


def _path(text: str) -> Any:
    from codex_tui.base.locations import expand_home

    return expand_home(text)
