"""The columns of the list of runs, its orders and its filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.cells import set_cell_size
from textual.content import Content
from textual.strip import Strip

from codex_tui.base.text import clean, format_duration, format_size, shorten
from codex_tui.ui.kit import figures
from codex_tui.ui.kit.choices import MARGIN, DrawEntry
from codex_tui.ui.kit.drawing import MUTED, line, to_strips
from codex_tui.ui.kit.painted import Painted
from codex_tui.ui.runs.status import format_status

if TYPE_CHECKING:
    from codex_tui.runs.summary import RunSummary

MIN_NAME, MAX_NAME = 15, 40
GAP = 2


class Column(NamedTuple):
    """`priority`: where the row has no room for all columns, those with the highest numbers are left out."""

    title: str
    width: int
    priority: int
    draw: Callable[[RunSummary, float], Content]
    right: bool = False


def _muted(text: str) -> Content:
    return line((text, MUTED))


def _draw_steps(run: RunSummary, _: float) -> Content:
    return Content(f"{run.step:,} / {run.total_steps:,}" if run.total_steps else f"{run.step:,}")


def _draw_state(run: RunSummary, _: float) -> Content:
    """The state, and the position of a queued run."""
    return line(format_status(run.status), (f" {run.position}" if run.position else "", MUTED))


COLUMNS = (
    Column("state", 13, 0, _draw_state),
    Column("step", 13, 4, _draw_steps, right=True),
    Column("loss", 7, 8, lambda run, _: Content(figures.format_loss(run.loss)), right=True),
    Column("best eval", 9, 1, lambda run, _: Content(figures.format_loss(run.best_eval_loss)), right=True),
    Column("time", 8, 3, lambda run, _: Content(format_duration(run.seconds)), right=True),
    Column("disk", 8, 2, lambda run, _: Content(format_size(run.disk_bytes)), right=True),
    Column("started", 11, 5, lambda run, now: _muted(format_age(now - run.created))),
    Column("model", 22, 6, lambda run, _: Content(shorten(run.model.rstrip("/").rpartition("/")[2], 22))),
    Column("dataset", 20, 7, lambda run, _: Content(shorten(run.dataset.rpartition("/")[2], 20))),
)


class ColumnTitles(Painted):
    """The row with the names of the columns. While runs are marked, all names have a place for the mark before them."""

    DEFAULT_CSS = """
    ColumnTitles { height: 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._has_marks = False

    def show(self, *, has_marks: bool) -> None:
        self._has_marks = has_marks
        self.repaint()

    def paint(self, width: int, height: int) -> list[Strip]:
        columns, room = choose_columns(width - MARGIN)
        titles = [title.rjust(size) if right else title.ljust(size) for title, size, _, _, right in columns]
        run = "  run" if self._has_marks else "run"
        return to_strips(self, [line((" " * 2 + (" " * GAP).join([run.ljust(room), *titles]), MUTED))], width, height)


def choose_columns(width: int) -> tuple[list[Column], int]:
    """Return the columns that fit into `width`, and the width of the run's name before them."""
    shown: list[Column] = []
    free = width - MIN_NAME
    for column in sorted(COLUMNS, key=lambda column: column.priority):
        if free < column.width + GAP:
            break
        shown.append(column)
        free -= column.width + GAP
    return [column for column in COLUMNS if column in shown], min(MAX_NAME, max(1, min(width, MIN_NAME) + max(0, free)))


def make_row(run: RunSummary, now: float, marks: Mapping[str, int]) -> DrawEntry:
    """`marks` has the number of each marked run, which gives it the letter and the colour of its curve."""
    return partial(_draw_row, run, now, marks)


def _draw_row(run: RunSummary, now: float, marks: Mapping[str, int], width: int) -> list[Content]:
    columns, room = choose_columns(width)
    mark = Content("")
    if marks:
        number = marks.get(run.name)
        mark = line("  ") if number is None else line((f"{ascii_uppercase[number]} ", f"bold $curve-{number + 1}"))
        room -= mark.cell_length
    parts = [line(mark, set_cell_size(shorten(clean(run.name), room), room))]
    for column in columns:
        cell = column.draw(run, now)
        blanks = " " * max(0, column.width - cell.cell_length)
        parts.append(line(blanks, cell) if column.right else line(cell, blanks))
    free = width - sum(part.cell_length + GAP for part in parts)
    if free > 12 and (remark := run.note or run.remark):
        parts.append(_muted(shorten(clean(remark), free)))
    return [Content(" " * GAP).join(parts)]


class Order(NamedTuple):
    name: str
    key: Callable[[RunSummary], Any]


def _last_if_none(value: float | None) -> tuple[bool, float]:
    return value is None, value or 0.0


# Queued runs come first in the usual order, as they start.
ORDERS = (
    Order("newest first", lambda run: (run.position is None, run.position or 0, -run.created)),
    Order("best eval first", lambda run: _last_if_none(run.best_eval_loss)),
    Order("largest first", lambda run: -run.disk_bytes),
    Order("longest first", lambda run: -(run.seconds or 0.0)),
    Order("by name", lambda run: run.name.casefold()),
    Order("by state", lambda run: run.status),
    Order("by model", lambda run: run.model.casefold()),
    Order("by dataset", lambda run: run.dataset.casefold()),
)


def select(runs: Sequence[RunSummary], order: Order, text: str) -> list[RunSummary]:
    """Return the runs that have every word of `text` somewhere, in this order. Equal ones stay newest first."""
    words = text.casefold().split()
    matching = [run for run in runs if all(word in _list_text(run) for word in words)] if words else list(runs)
    return sorted(matching, key=order.key)


def _list_text(run: RunSummary) -> str:
    return "\n".join((run.name, run.status, run.model, run.dataset, run.profile_name, run.note, run.place)).casefold()


def format_age(seconds: float) -> str:
    """Format `seconds` as "3 min ago". The finest unit is a minute, so that a refreshed list rarely changes."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    if minutes < 48 * 60:
        return f"{minutes // 60} h ago"
    return f"{minutes // (24 * 60)} days ago"
