"""data push, pull, status: a dataset and its mirror on the Hub."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE, BadInput

if TYPE_CHECKING:
    from codex_tui.hub.push import Pushed

REPO_HELP = "the repository on the Hub"
TOKEN = "The token is HF_TOKEN's or that of `hf auth login`."


def add(actions: Any) -> None:
    push = actions.add_parser(
        "push",
        help="mirror a data file on the Hub, in a private repository",
        description="Makes the dataset repository, private, where there is none; sends the file and a card with its "
        f"rows, shape and checksum, or what of them has changed; and reads it back. {TOKEN}",
    )
    push.add_argument("file", metavar="FILE", help="a JSONL, JSON or CSV file")
    add_push_options(push)
    push.set_defaults(run=run_push)

    pull = actions.add_parser(
        "pull",
        help="fetch a dataset of the Hub, to be used offline too",
        description=f"Fetches the data files into the Hub's cache; broken off, it goes on where it was. {TOKEN}",
    )
    pull.add_argument("repo", metavar="OWNER/NAME", help=REPO_HELP)
    pull.add_argument("--revision", metavar="R", help="a branch, tag or commit (default: main)")
    pull.add_argument("--to", metavar="FOLDER", help="also put the files here; a file that differs is left alone")
    pull.add_argument("--replace", action="store_true", help="with --to: replace files that differ")
    pull.add_argument("--json", action="store_true", help="print JSON, for scripts")
    pull.set_defaults(run=run_pull)

    status = actions.add_parser(
        "status",
        help="compare a data file with its mirror",
        description=f"Compares rows and checksum, and says which is newer. {TOKEN}",
    )
    status.add_argument("file", metavar="FILE", help="a JSONL, JSON or CSV file")
    status.add_argument("repo", metavar="OWNER/NAME", help=REPO_HELP)
    status.add_argument("--json", action="store_true", help="print JSON, for scripts")
    status.set_defaults(run=run_status)


def add_push_options(parser: argparse.ArgumentParser) -> None:
    """What `data push` and `push` have in common."""
    parser.add_argument("repo", metavar="OWNER/NAME", help=REPO_HELP)
    parser.add_argument("--public", action="store_true", help="let everyone read it; takes --yes-public as well")
    parser.add_argument("--yes-public", action="store_true", help="say a second time that everyone may read it")
    parser.add_argument("--licence", "--license", metavar="ID", help="the card's licence, such as cc-by-4.0")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def check_push_options(args: argparse.Namespace) -> None:
    """Raises BadInput, before anything is read or sent."""
    from codex_tui.hub.cards import is_licence

    if args.public != args.yes_public:
        given, missing = ("--public", "--yes-public") if args.public else ("--yes-public", "--public")
        raise BadInput(
            f"{given} alone makes nothing public: once read by others, it can't be taken back.",
            f"If everyone may read it, add {missing}; else leave {given} out, and it is private.",
        )
    if args.licence is not None and not is_licence(args.licence):
        raise BadInput(f"{args.licence!r} is no licence's identifier.", "Such as cc-by-4.0, mit, apache-2.0, other.")


def run_push(args: argparse.Namespace) -> int:
    from codex_tui.base.text import counted
    from codex_tui.commands.progress import print_progress
    from codex_tui.hub import cards, compare
    from codex_tui.hub import push as hub_push
    from codex_tui.hub.client import repo_id

    check_push_options(args)
    repo, path = repo_id(args.repo), _file(args.file)
    with print_progress() as report:
        content = compare.count(path, report)
        if not content.rows:
            raise BadInput(f"{path} has no rows.", "There is nothing to mirror.")
        local = hub_push.measure(path, path.name, report)

        def card(old: str) -> str:
            return cards.dataset_card(old, repo, local.name, local.sha256, local.size, content, args.licence)

        done = hub_push.push(repo, "dataset", [local], card, public=args.public, report=report)
    if args.json:
        print(json.dumps(pushed_as_json(done) | {"rows": content.rows, "sha256": local.sha256}, indent=2))
        return DONE
    say_pushed(done, f"{counted(content.rows, 'row')}, sha256 {local.sha256}")
    if content.bad:
        print(f"! {content.bad:,} of the rows can't be learned from; see: codex-tui data check FILE", file=sys.stderr)
    return DONE


def pushed_as_json(done: Pushed) -> dict[str, Any]:
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


def say_pushed(done: Pushed, what: str) -> None:
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import format_size

    seen = "private" if done.private else "public"
    if done.created:
        print(f"Made {done.repo}, {seen}.")
    if done.sent:
        print(clean(f"Sent {', '.join(done.sent)} ({format_size(done.bytes_sent)}), and read back the same."))
    else:
        print("Nothing to send: all of it is there as it is here.")
    if done.published:
        print(f"{done.repo} was private and is public now.")
    print(clean(f"{done.repo} ({seen}) at revision {done.revision[:12]}: {what}"))
    print(clean(done.url))


def run_pull(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean, counted
    from codex_tui.commands.progress import print_progress
    from codex_tui.hub import compare, download

    with print_progress() as report:
        found = download.fetch(args.repo, args.revision, report)
        files = download.put(found, _path(args.to), replace=args.replace) if args.to else found.files
        rows: list[int | None] = []
        for path in found.files:
            try:
                rows.append(compare.count(path, report).rows)
            except BadInput:  # Parquet, which is read by the training environment
                rows.append(None)
    if args.json:
        told = [{"path": str(path), "rows": count} for path, count in zip(files, rows, strict=True)]
        print(json.dumps({"repo": found.repo, "revision": found.revision, "offline": found.offline, "files": told}))
        return DONE
    if found.offline:
        print("! The Hub can't be asked now; this is what was fetched before.", file=sys.stderr)
    for path, count in zip(files, rows, strict=True):
        print(clean(f"{path}: {'Parquet' if count is None else counted(count, 'row')}"))
    print(f"{found.repo} at revision {found.revision}")
    return DONE


def run_status(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.commands.progress import print_progress
    from codex_tui.hub import compare
    from codex_tui.hub import push as hub_push
    from codex_tui.hub.client import repo_id

    repo, path = repo_id(args.repo), _file(args.file)
    with print_progress() as report:
        found = compare.compare(repo, hub_push.measure(path, path.name, report), report)
    here, there = found.local, found.remote
    if args.json:
        local = {"file": str(path), "rows": found.local_rows, "sha256": here.sha256, "bytes": here.size}
        remote = there and {
            "file": there.name,
            "rows": there.rows,
            "sha256": there.sha256,
            "bytes": there.size,
            "revision": there.revision,
            "modified": there.modified,
            "private": there.private,
        }
        local["modified"] = found.local_modified
        print(json.dumps({"repo": repo, "newer": found.newer, "local": local, "remote": remote}, indent=2))
        return DONE
    print(clean(f"here   {_facts(found.local_rows, here.sha256, found.local_modified)}  {path}"))
    if there is None:
        print(clean(f"there  {repo} has no file {here.name}."))
    else:
        seen = f"{repo}/{there.name} at {there.revision[:12]}, {'private' if there.private else 'public'}"
        print(clean(f"there  {_facts(there.rows, there.sha256, there.modified)}  {seen}"))
    print(
        {
            "same": "They are the same.",
            "local": "The one here is newer. Send it with: codex-tui data push FILE OWNER/NAME",
            "remote": "The one there is newer. Fetch it with: codex-tui data pull OWNER/NAME",
            "unknown": "They differ; which is newer can't be told.",
        }[found.newer]
    )
    return DONE


def _facts(rows: int | None, sha256: str | None, modified: float | None) -> str:
    from datetime import datetime

    from codex_tui.base.text import counted

    when = "unknown date" if modified is None else datetime.fromtimestamp(modified).strftime("%Y-%m-%d %H:%M")
    return f"{'? rows' if rows is None else counted(rows, 'row')}  sha256 {(sha256 or '?')[:12]}  {when}"


def _file(text: str) -> Any:
    from training.dataset.records import SUFFIXES

    path = _path(text)
    if not path.is_file():
        what = "not a file" if path.exists() else "no such data file"
        raise BadInput(f"{path}: {what}.", "Give a JSONL, JSON or CSV file.")
    mirrored = [suffix for suffix, kind in SUFFIXES.items() if kind != "parquet"]  # whose rows the app can count
    if path.suffix.lower() not in mirrored:
        raise BadInput(f"{path} is not called as a data file that can be mirrored.", f"One of {', '.join(mirrored)}.")
    return path


def _path(text: str) -> Any:
    from codex_tui.base.locations import expanded

    return expanded(text)
