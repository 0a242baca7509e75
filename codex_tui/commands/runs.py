"""The command `runs`: lists the runs, newest first. Its subcommands, in `runs_change.py`, change them."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from codex_tui.base.errors import DONE
from codex_tui.commands import runs_change

if TYPE_CHECKING:
    from codex_tui.runs.summary import RunSummary

MAX_NAME_WIDTH, MIN_NAME_WIDTH = 40, 24
MAX_ASKING_SECONDS = 5.0  # for all runs of clusters and remotes; what has not answered is listed as it was
INDENT = "    "  # before the remark on a run, which has lines of its own on a terminal


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "runs",
        help="list the runs, newest first; delete, rename or annotate one",
        description="Lists all runs, newest first, with their state, figures, note and judgement. Also asks the "
        "clusters and remotes that train some of them.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run_runs)
    runs_change.add(parser.add_subparsers(title="commands that change runs", metavar="COMMAND"))


def run_runs(args: argparse.Namespace) -> int:
    from codex_tui.runs.library import list_engine_runs, list_names
    from codex_tui.runs.summaries import summarise_runs

    if elsewhere := list_engine_runs():
        from codex_tui.base.progress import Progress
        from codex_tui.base.text import pluralize
        from codex_tui.commands.progress import print_progress
        from codex_tui.engines.refresh import refresh_all

        with print_progress() as report:
            report(Progress(f"asking for {pluralize(len(elsewhere), 'run')} elsewhere"))
            refresh_all(elsewhere, MAX_ASKING_SECONDS)
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
        entry = "\n" + json.dumps(summary.as_json(), indent=2)
        print(separator + entry.replace("\n", "\n  "), end="", flush=True)
        separator = ","
    print("[]" if separator == "[" else "\n]")


class _Column(NamedTuple):
    title: str
    width: int
    align: str = ">"


# The first columns have precedence where the terminal has no room for all.
_COLUMNS = (
    _Column("STATE", 11, "<"), _Column("STEP", 13), _Column("BEST EVAL", 9), _Column("DISK", 8), _Column("TIME", 8),
    _Column("LOSS", 7), _Column("MODEL", 24, "<"),
)  # fmt: skip


def _print_table(names: list[str], summaries: Iterable[RunSummary]) -> None:
    """Print one line a run. On a terminal no line is longer than a row, and remarks have lines of their own."""
    from codex_tui.base.text import clean

    name_width = min(MAX_NAME_WIDTH, max(4, *map(len, names)))
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    columns: Sequence[_Column] = _COLUMNS
    if room is not None:
        least = min(name_width, MIN_NAME_WIDTH)
        while columns and least + _measure(columns) > room:
            columns = columns[:-1]
        name_width = max(1, min(name_width, room - _measure(columns)))
    all_columns = (_Column("NAME", name_width, "<"), *columns)
    header = [column.title for column in all_columns]
    print(_format_row(all_columns, header) + ("" if room else "  REASON"))
    for summary in summaries:
        row = _format_row(all_columns, [clean(summary.name), *_list_cells(summary)])
        judged = f"Judged {summary.judgements[0].summary}." if summary.judgements else ""
        note = f"Note: {summary.note}" if summary.note else ""
        remark = clean(" · ".join(filter(None, (note, f"{summary.remark} {judged}".strip()))))
        if room is None:
            print(f"{row}  {remark}".rstrip(), flush=True)
            continue
        print("\n".join([row.rstrip(), *_wrap(remark, room)]), flush=True)


def _measure(columns: Sequence[_Column]) -> int:
    return sum(2 + column.width for column in columns)


def _list_cells(summary: RunSummary) -> list[str]:
    """The texts of all columns but the name, in the order of `_COLUMNS`."""
    from codex_tui.base.text import format_duration, format_size

    return [
        summary.status,
        f"{summary.step}/{summary.total_steps}" if summary.total_steps else str(summary.step),
        _number(summary.best_eval_loss),
        format_size(summary.disk_bytes),
        format_duration(summary.seconds),
        _number(summary.loss),
        summary.model.rstrip("/").rpartition("/")[2],
    ]


def _format_row(columns: Sequence[_Column], cells: Sequence[str]) -> str:
    fitted = [_fit(cell, column) for column, cell in zip(columns, cells, strict=False)]
    return "  ".join(fitted)


def _fit(text: str, column: _Column) -> str:
    """Pad or cut `text` to the width of `column`, where some characters need two cells."""
    from codex_tui.base.text import shorten

    if text.isascii():
        return f"{shorten(text, column.width):{column.align}{column.width}}"
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) > column.width:
        text = set_cell_size(text, column.width - 1) + "…"
    blanks = " " * (column.width - cell_len(text))
    return text + blanks if column.align == "<" else blanks + text


def _wrap(text: str, room: int) -> list[str]:
    return textwrap.wrap(text, max(20, room), initial_indent=INDENT, subsequent_indent=INDENT)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
