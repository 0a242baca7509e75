"""The command `runs`: lists the runs, newest first."""

from __future__ import annotations

import argparse
import json
from typing import Any

from codex_tui.base.errors import DONE


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser("runs", help="list the runs, newest first")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run_runs)


def run_runs(args: argparse.Namespace) -> int:
    from codex_tui.base.text import clean, shorten
    from codex_tui.runs.library import list_runs

    runs = list_runs()
    if args.json:
        print(json.dumps([summary.as_json() for summary in runs], indent=2))
        return DONE
    if not runs:
        print("No runs yet. Start one with: codex-tui demo")
        return DONE
    width = min(40, max(len(summary.name) for summary in runs))
    print(f"{'NAME':<{width}}  {'STATE':<10}  {'STEP':>13}  {'LOSS':>8}  {'EVAL':>8}  REASON")
    for summary in runs:
        steps = f"{summary.step}/{summary.total_steps}" if summary.total_steps else str(summary.step)
        print(
            f"{shorten(clean(summary.name), width):<{width}}  {summary.status:<10}  {steps:>13}"
            f"  {_number(summary.loss):>8}  {_number(summary.eval_loss):>8}  {clean(summary.remark)}".rstrip()
        )
    return DONE


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
