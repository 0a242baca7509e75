"""The table of a comparison: settings that differ and results, a column for each run. It scrolls both ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import ClassVar, NamedTuple

from rich.cells import chop_cells
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.strip import Strip

from codex_tui.runs.comparison import Comparison, Row
from codex_tui.ui.kit.drawing import MUTED, STRONG, find_thumb, line, to_strips
from codex_tui.ui.kit.scrolling import Scrolling, bind_scroll_keys, pad
from codex_tui.ui.messages import HintsChanged
from codex_tui.ui.themes import MAX_CURVES

BEST = "★"
GAP = 2  # cells between two columns
MIN_LABEL = 18
MIN_COLUMN, MAX_COLUMN = 9, 32
MAX_LINES = 3  # of one cell
BETWEEN = 4  # cells between the settings and the results


class _Widths(NamedTuple):
    """Cells of the names of the rows, and of each run."""

    label: int
    column: int

    def measure(self, runs: int) -> int:
        return self.label + runs * (GAP + self.column)


class ComparisonTable(Scrolling):
    """Shows the settings that differ and the results: side by side if there is room, else below each other."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bind_scroll_keys("Row above, Row below, Page up, Page down, First row, Last row"),
        Binding("left,h", "shift(-1)", "Show the run to the left", show=False),
        Binding("right", "shift(1)", "Show the run to the right", show=False),
    ]

    def __init__(self, letters: Sequence[str]) -> None:
        super().__init__(id="table")
        self._letters = letters
        self._comparison: Comparison | None = None
        self._first = 0  # the first visible run
        self._fit = len(letters)  # the number of runs for which the table has room
        self._rows = 0

    def show(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self.repaint()

    def hints(self) -> list[tuple[str, str]]:
        more = [("← →", "other runs")] if self._fit < len(self._letters) else []
        return [*more, ("↑ ↓", "scroll")]

    def action_move(self, rows: int) -> None:
        self._top = max(0, min(self._top + rows, self._rows - self._body_height))
        self.repaint()

    def action_shift(self, runs: int) -> None:
        self._first = max(0, min(self._first + runs, len(self._letters) - self._fit))
        self.repaint()

    def count_lines(self, width: int) -> int:
        """Count the lines that show the whole table in `width` cells."""
        return len(self._draw(self._comparison, width - 1)) if self._comparison else 1

    @property
    def _body_height(self) -> int:
        return max(1, self.content_size.height - 1)

    def paint(self, width: int, height: int) -> list[Strip]:
        if self._comparison is None:
            return to_strips(self, [line(("reading the settings …", MUTED))], width, height)
        titles, *rows = self._draw(self._comparison, width - 1)
        self._rows, body = len(rows), height - 1
        self._top = max(0, min(self._top, len(rows) - body))
        edge = find_thumb(self._top, body, len(rows), body)
        visible = rows[self._top : self._top + body]
        lines = [line(pad(row, width - 1), ("┃", MUTED) if y in edge else " ") for y, row in enumerate(visible)]
        return to_strips(self, [titles, *lines], width, height)

    def _draw(self, comparison: Comparison, width: int) -> list[Content]:
        """Draw the row of titles and all rows below it."""
        runs = len(self._letters)
        changes, results = [*comparison.settings, *comparison.versions], comparison.results
        left, right = _find_widths(changes), _find_widths(results)
        notes = [*self._draw_notes(comparison, width)]
        if changes and left.measure(runs) + BETWEEN + right.measure(runs) <= width:
            self._set_fit(runs)
            sides = ([*self._draw_changes(comparison, left)], [*self._draw_section(results, right)])
            titles = (self._draw_titles(left), self._draw_titles(right))
            gap = left.measure(runs) + BETWEEN
            pairs = zip_longest(*sides, fillvalue=Content(""))
            return [line(pad(one, gap), other) for one, other in (titles, *pairs)] + notes
        widths = self._fit_width(left, right, width)
        return [
            self._draw_titles(widths),
            *self._draw_changes(comparison, widths),
            Content(""),
            *self._draw_section(results, widths),
            *notes,
        ]

    def _fit_width(self, left: _Widths, right: _Widths, width: int) -> _Widths:
        """Find widths for both sections below each other. Results are never wrapped, so that their texts must fit."""
        runs, least = len(self._letters), right.column
        label = max(MIN_LABEL, min(max(left.label, right.label), width - runs * (GAP + least), width // 2))
        self._set_fit(max(1, min(runs, (width - label) // (GAP + least))))
        return _Widths(label, max(1, min((width - label) // self._fit - GAP, max(left.column, least))))

    def _set_fit(self, fit: int) -> None:
        if fit != self._fit:
            self._fit = fit
            self.post_message(HintsChanged())
        self._first = max(0, min(self._first, len(self._letters) - fit))

    @property
    def _visible(self) -> range:
        return range(self._first, min(len(self._letters), self._first + self._fit))

    def _draw_titles(self, widths: _Widths) -> Content:
        hidden = f"{self._first + 1} to {self._visible.stop} of {len(self._letters)}"
        left = hidden if self._fit < len(self._letters) else ""
        parts = [line((f"{left:<{widths.label}}"[: widths.label], MUTED))]
        for run in self._visible:
            title = f"{self._letters[run]} "
            parts.append(line((f"{title:>{widths.column + GAP}}", f"bold $curve-{run % MAX_CURVES + 1}")))
        return Content("").join(parts)

    def _draw_changes(self, comparison: Comparison, widths: _Widths) -> Iterator[Content]:
        yield from self._draw_section(comparison.settings, widths)
        if not comparison.settings:
            yield line(("All known settings are the same.", MUTED))
        if comparison.versions:
            yield Content("")
            yield from self._draw_section(comparison.versions, widths)

    def _draw_notes(self, comparison: Comparison, width: int) -> Iterator[Content]:
        """What can't be read of a run, and why the losses can't be compared."""
        notes = [(f"{self._letters[run]}: {trouble}", "$error") for run, trouble in comparison.troubles]
        notes += [(f"! {reason.describe(self._letters)}", "$warning") for reason in comparison.reasons]
        for text, style in notes:
            yield Content("")
            yield from line((text, style)).wrap(max(1, width))

    def _draw_section(self, rows: Sequence[Row], widths: _Widths) -> Iterator[Content]:
        for row in rows:
            cells = [
                _wrap(row.title, widths.label),
                *(_wrap(row.texts[run], widths.column - 1) for run in self._visible),
            ]
            for number in range(max(map(len, cells))):
                parts = [cell[number] if number < len(cell) else "" for cell in cells]
                yield self._draw_line(row, parts, widths, first=not number)

    def _draw_line(self, row: Row, parts: Sequence[str], widths: _Widths, *, first: bool) -> Content:
        drawn = [pad(line((parts[0], MUTED)), widths.label)]
        for run, text in zip(self._visible, parts[1:], strict=True):
            is_best = run in row.best
            cell = line((text, STRONG if is_best else ""), (BEST if is_best and first else " ", "$warning"))
            drawn.append(line(" " * max(0, widths.column + GAP - cell.cell_length), cell))
        return Content("").join(drawn)


def _find_widths(rows: Sequence[Row]) -> _Widths:
    """Find the widths that the rows want: no text is wrapped, unless it is very long."""
    label = max((len(row.title) for row in rows), default=0)
    longest = max((Content(text).cell_length for row in rows for text in row.texts), default=0)
    return _Widths(max(MIN_LABEL, label), max(MIN_COLUMN, min(MAX_COLUMN, longest + 1)))


def _wrap(text: str, width: int) -> list[str]:
    """Divide a text into lines of at most `width` cells. A dotted name is divided behind its table."""
    content = Content(text)
    if content.cell_length <= width:
        return [text]
    table, dot, name = text.rpartition(".")
    if dot and " " not in text and len(name) <= width:
        return [table + dot, name]
    lines = [row.plain.rstrip() for row in content.wrap(max(1, width))]
    lines = [part for row in lines for part in (chop_cells(row, max(1, width)) if row else [row])]
    return lines if len(lines) <= MAX_LINES else [*lines[: MAX_LINES - 1], "…"]
