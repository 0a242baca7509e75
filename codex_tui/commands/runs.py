"""The command `runs`: lists the runs, newest first."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE

if TYPE_CHECKING:
    from codex_tui.runs.summary import RunSummary


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("runs", help="list the runs, newest first")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run_runs)


def run_runs(args: argparse.Namespace) -> int:
    from codex_tui.runs.library import list_names, summarise_runs

    names = list_names()
    summaries = summarise_runs(names)
    if args.json:
        _print_json(summaries)
    elif names:
        _print_table(names, summaries)
    else:
        print("No runs yet. Start one with: codex-tui demo")
    return DONE


def _print_json(summaries: Iterable[RunSummary]) -> None:
    """Print a list, one run at a time, as `json.dumps` with `indent=2` would print all."""
    separator = "["
    for summary in summaries:
        print(separator + "\n" + textwrap.indent(json.dumps(summary.as_json(), indent=2), "  "), end="", flush=True)
        separator = ","
    print("[]" if separator == "[" else "\n]")


def _print_table(names: list[str], summaries: Iterable[RunSummary]) -> None:
    from codex_tui.base.text import clean, shorten

    width = min(40, max(map(len, names)))
    print(f"{'NAME':<{width}}  {'STATE':<10}  {'STEP':>13}  {'LOSS':>8}  {'EVAL':>8}  REASON")
    for summary in summaries:
        steps = f"{summary.step}/{summary.total_steps}" if summary.total_steps else str(summary.step)
        print(
            f"{shorten(clean(summary.name), width):<{width}}  {summary.status:<10}  {steps:>13}"
            f"  {_number(summary.loss):>8}  {_number(summary.eval_loss):>8}  {clean(summary.remark)}".rstrip(),
            flush=True,
        )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
