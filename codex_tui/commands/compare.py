"""The command `compare`: the results of several runs and the settings that differ, side by side."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from codex_tui.base.errors import DONE, BadInput

if TYPE_CHECKING:
    from codex_tui.base.progress import OnProgress
    from codex_tui.runs.comparison import ComparedRun, Comparison, Row
    from training.contract.run_directory import RunDirectory

MIN_COLUMN, MAX_COLUMN = 11, 24  # cells of a column with settings, which may continue on the next line
GAP = 2  # cells between two columns
BEST = "★"
READ_SECONDS = 0.5  # between two reports of the progress


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "compare",
        help="compare runs: results, and the settings that differ",
        description="Prints the results of two or more runs and only the settings that differ, with a star at the best "
        "value of a row. If the runs had other data, other held-out rows or other learned tokens, it says that their "
        "losses can't be compared, and why. In the app, mark runs in their list with the space bar and press v to see "
        "their curves.",
    )
    parser.add_argument("targets", metavar="RUN", nargs="+", help="two or more runs: a name, the start of it, or last")
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")
    parser.set_defaults(run=run_compare)


def run_compare(args: argparse.Namespace) -> int:
    from codex_tui.commands.progress import print_progress
    from codex_tui.environment.tracker_commands import describe_trackers
    from codex_tui.runs.comparison import compare
    from codex_tui.runs.library import find_run

    runs = [find_run(target) for target in args.targets]
    _check_different(runs)
    with print_progress() as report:
        compared = [_read(run, number, len(runs), report) for number, run in enumerate(runs)]
    comparison = compare(compared)
    if args.json:
        views = [asdict(view) for view in describe_trackers(runs)]
        print(json.dumps(comparison.as_json() | {"trackers": views}, indent=2))
    else:
        print("\n".join(_draw(comparison, shutil.get_terminal_size().columns)))
        for view in describe_trackers(runs):
            print(f"\n{view.label}: {view.command or view.place}")
    return DONE


def _check_different(runs: Sequence[RunDirectory]) -> None:
    """Raise BadInput unless there are two or more runs, and each of them once."""
    names = [run.name for run in runs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadInput(f"The run {twice!r} is named twice.", "Name each run once.")
    if len(runs) < 2:
        raise BadInput("A comparison needs two or more runs.", f"Name another one: codex-tui compare {names[0]} RUN")


def _read(run: RunDirectory, number: int, count: int, report: OnProgress) -> ComparedRun:
    """Read all events of `run`, which may take seconds."""
    from codex_tui.base.progress import Progress
    from codex_tui.runs.comparison import read_run
    from codex_tui.runs.follower import RunFollower

    follower = RunFollower(run)
    while not follower.complete:
        report(Progress("reading the runs", number, count, "runs", run.name))
        follower.poll(READ_SECONDS)
    return read_run(run, follower.watched)


def _draw(comparison: Comparison, width: int) -> Iterator[str]:
    from codex_tui.base.text import clean
    from codex_tui.runs.comparability import name_by_letter

    letters = name_by_letter(len(comparison.runs))
    yield from (f"{letter}  {clean(run.name)}" for letter, run in zip(letters, comparison.runs, strict=True))
    notes = [f"Not comparable: {reason.describe(letters)}" for reason in comparison.reasons]
    notes += [f"{letters[number]}: {trouble}" for number, trouble in comparison.troubles]
    for note in notes:
        yield ""
        yield from textwrap.wrap(note, max(20, width), subsequent_indent="  ")
    sections = [("RESULTS", comparison.results), ("SETTINGS THAT DIFFER", comparison.settings)]
    sections += [("VERSIONS THAT DIFFER", comparison.versions)] * bool(comparison.versions)
    label = max(len(title) for heading, rows in sections for title in (heading, *(row.title for row in rows)))
    longest = max(len(text) for row in comparison.results for text in _mark_best(row))
    is_narrow = label + len(letters) * (GAP + max(longest, MIN_COLUMN)) > width
    for heading, rows in sections:
        yield ""
        if not rows:
            yield "All known settings are the same."
        elif is_narrow:
            yield heading
            yield from _draw_transposed(rows, letters, width)
        else:
            table = [[row.title, *_mark_best(row)] for row in rows]
            longest = max(len(text) for row in table for text in row[1:])
            column = max(MIN_COLUMN, min(MAX_COLUMN, longest, (width - label) // len(letters) - GAP))
            titles = [heading, *(f"{letter} " for letter in letters)]
            yield from _draw_table(titles, table, [label, *[column] * len(letters)])


def _draw_transposed(rows: Sequence[Row], letters: Sequence[str], width: int) -> Iterator[str]:
    """Draw one line a run, in as many tables below each other as the width needs."""
    name = max(map(len, letters))
    columns = [[f"{row.title} ", *_mark_best(row)] for row in rows]
    widths = [min(MAX_COLUMN, max(map(len, column))) for column in columns]
    start = 0
    while start < len(columns):
        end, free = start, width - name
        while end < len(columns) and (end == start or free >= GAP + widths[end]):
            free -= GAP + widths[end]
            end += 1
        table = [
            [letter, *(column[number] for column in columns[start:end])] for number, letter in enumerate(letters, 1)
        ]
        yield from _draw_table(["", *(column[0] for column in columns[start:end])], table, [name, *widths[start:end]])
        if end < len(columns):
            yield ""
        start = end


def _mark_best(row: Row) -> list[str]:
    """The texts of a row, each with a cell for the star at its end, so that the digits stay in line."""
    return [text + (BEST if number in row.best else " ") for number, text in enumerate(row.texts)]


def _draw_table(titles: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Draw the first column at the left and the others at the right of their cells. Long texts continue below."""
    for row in (titles, *rows):
        cells = [_wrap(text, width) for text, width in zip(row, widths, strict=True)]
        for number in range(max(map(len, cells))):
            parts = [cell[number] if number < len(cell) else "" for cell in cells]
            aligned = [
                _pad(part, width, left=not at) for at, (part, width) in enumerate(zip(parts, widths, strict=True))
            ]
            yield (" " * GAP).join(aligned).rstrip()


def _wrap(text: str, width: int) -> list[str]:
    """Divide `text` into lines of at most `width` cells, where some characters need two. Keeps a space at the end."""
    if len(text) <= width and text.isascii():
        return [text]
    if text.rstrip(f" {BEST}").isascii():
        return textwrap.wrap(text, width, drop_whitespace=len(text) > width, break_on_hyphens=False)
    from rich.cells import chop_cells

    return chop_cells(text, width)


def _pad(text: str, width: int, *, left: bool) -> str:
    from rich.cells import cell_len

    blanks = " " * (width - (len(text) if text.isascii() else cell_len(text)))
    return text + blanks if left else blanks + text
