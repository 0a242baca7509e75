"""The command `judge`: asks a run's adapter and its base model the questions of a book, and says what that shows."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from codex_tui.base.errors import DONE, BadInput
from codex_tui.commands.options import RUN_HELP, add_python_option
from training.contract.run_directory import RunDirectory

if TYPE_CHECKING:
    from codex_tui.base.progress import OnProgress
    from codex_tui.judge.plan import JudgePlan
    from training.contract.judgement import Question

USAGE = "codex-tui judge RUN [options]\n       codex-tui judge draft RUN [--out FILE]"
MAX_NEW_TOKENS = 100_000
ROWS_SHOWN = 20
T = TypeVar("T")


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "judge",
        help="ask a run's adapter and its base model the same questions, and say what that shows",
        usage=USAGE,
        description="Asks the adapter and the base model the questions of a book, compares passes, chrF and loss with "
        "95 % intervals, and writes the result to the run's folder. Without a book, the rows that the run held out are "
        "the questions. An answer that is known already is not asked again. `judge draft` writes a book from the "
        "held-out rows for you to edit.",
    )
    parser.add_argument("words", metavar="RUN", nargs="+", help=f"{RUN_HELP}; after the word draft, its held-out rows")
    parser.add_argument(
        "--book",
        metavar="FILE",
        help="JSONL with id, question or messages, must, must_not, reference and tags; or demo:zombie-waves, or "
        "held-out (default: the book of the run's evaluation.book; without one held-out, and on the sample its book)",
    )
    parser.add_argument(
        "--against", metavar="RUN", default="base", help="compare with the adapter of this run (default: base)"
    )
    parser.add_argument(
        "--max-new-tokens",
        metavar="N",
        type=int,
        help="length limit of an answer (default: the run's longest row, 256 at most)",
    )
    parser.add_argument("--name", metavar="NAME", help="keep the result under this name (default: the book's)")
    parser.add_argument(
        "--judge-model",
        action="store_true",
        help="also let the model of the settings judge_model compare the answers: they are sent to its server",
    )
    parser.add_argument("--wait", action="store_true", help="wait while a run trains (default: refuse)")
    parser.add_argument(
        "--rows", action="store_true", help="measure the rows of the dataset instead, and list the worst-learned first"
    )
    parser.add_argument("--all", action="store_true", help="with --rows: list every row, not only the worst 20")
    parser.add_argument(
        "--export-lm-eval",
        metavar="FOLDER",
        type=Path,
        help="write the questions as a task for lm-evaluation-harness, and judge nothing",
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="with draft: the book to write; - for stdout")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    add_python_option(parser, "judge with")
    parser.set_defaults(run=run_judge)


def run_judge(args: argparse.Namespace) -> int:
    from codex_tui.commands.results import fetch_results
    from codex_tui.runs.library import find_run

    draft = len(args.words) > 1 and args.words[0] == "draft"
    names = args.words[draft:]
    if len(names) > 1:
        raise BadInput(f"One run is judged at a time, and {len(names)} are named.", "Compare two: --against RUN")
    if args.out and not draft:
        raise BadInput("--out works only with draft.", f"Use: codex-tui judge draft {names[0]} --out FILE")
    if args.max_new_tokens is not None and not 1 <= args.max_new_tokens <= MAX_NEW_TOKENS:
        raise BadInput(f"--max-new-tokens {args.max_new_tokens}: give 1 to {MAX_NEW_TOKENS:,}.")
    run = find_run(names[0])
    fetch_results(run)
    if draft:
        return _draft(run, args.out)
    if args.rows:
        return _measure_rows(run, args)
    against = None if args.against == "base" else find_run(args.against)
    return _judge(run, against, args)


def _judge(run: RunDirectory, against: RunDirectory | None, args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.commands.judge_report import format_json, format_report
    from codex_tui.judge.judge_model import describe_sending, find_endpoint
    from codex_tui.judge.judging import find_file, judge
    from codex_tui.judge.plan import make_plan

    plan = make_plan(run, against, args.book, args.max_new_tokens, args.name)
    if args.export_lm_eval:
        return _export(plan, args.export_lm_eval)
    endpoint = find_endpoint() if args.judge_model else None
    if endpoint:
        print(clean(describe_sending(endpoint)), file=sys.stderr)
    result = _run_worker(lambda report: judge(plan, report, endpoint), wait=args.wait)
    if args.json:
        print(json.dumps(format_json(result, find_file(plan)), indent=2))
        return DONE
    for line in format_report(result, find_file(plan)):
        print(clean(line))
    return DONE


def _measure_rows(run: RunDirectory, args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean
    from codex_tui.commands.judge_report import format_rows, format_rows_json
    from codex_tui.judge.plan import read_side
    from codex_tui.judge.row_losses import measure_rows
    from codex_tui.runs.measured_rows import NAME

    side = read_side(run)
    rows = _run_worker(lambda report: measure_rows(side, report), wait=args.wait)
    path = run.judgements / NAME
    if args.json:
        print(json.dumps(format_rows_json(run.name, rows, path), indent=2))
        return DONE
    for line in format_rows(run.name, rows, path, limit=None if args.all else ROWS_SHOWN):
        print(clean(line))
    return DONE


def _run_worker(work: Callable[[OnProgress], Coroutine[Any, Any, T]], *, wait: bool) -> T:
    """Run `work` with its progress on stderr, when no run trains."""
    import asyncio

    from codex_tui.commands.progress import print_progress
    from codex_tui.judge.card_guard import require_idle

    try:
        with print_progress() as report:
            require_idle(report, wait=wait)
            return asyncio.run(work(report))
    except KeyboardInterrupt:
        print("\nThe results so far are kept: the same command goes on from here.", file=sys.stderr)
        raise


def _export(plan: JudgePlan, folder: Path) -> int:
    from codex_tui.base.text import clean
    from codex_tui.judge.lm_eval import export_task

    questions = plan.questions if plan.questions is not None else _list_held_out(plan.run)
    for line in export_task(plan, questions, folder):
        print(clean(line))
    return DONE


def _draft(run: RunDirectory, out: Path | None) -> int:
    from codex_tui.base.text import clean, pluralize
    from training.contract import files
    from training.dataset.book import format_book

    path = out or Path(f"{run.name}-book.jsonl")
    if str(path) != "-" and path.exists():
        raise BadInput(f"{path} exists already.", "Name another file: --out FILE")
    questions = _list_held_out(run)
    text = format_book(questions)
    if str(path) == "-":
        print(clean(text, newlines=True) if sys.stdout.isatty() else text, end="")
        return DONE
    files.write_atomically(path, text)
    print(
        clean(f"{path} has {pluralize(len(questions), 'question')}. Add to each what its answer must contain (must).")
    )
    print(clean(f"Then judge with it: codex-tui judge {run.name} --book {path}"))
    return DONE


def _list_held_out(run: RunDirectory) -> list[Question]:
    import asyncio

    from codex_tui.commands.progress import print_progress
    from codex_tui.judge.judging import list_held_out

    with print_progress() as report:
        return asyncio.run(list_held_out(run, report)).questions
